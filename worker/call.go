package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/refcache"
)

const (
	// functionGrace is how long a function may clean up once its context has ended.
	functionGrace = 5 * time.Second
	// lateLimit is how much longer the worker waits for what the function returns after its grace.
	lateLimit = 500 * time.Millisecond
)

// result is what a function has returned.
type result struct {
	value []byte
	err   error
	cause refcache.Cause // error or panic
	told  told           // by err, for programs
}

// run runs the function, and judges what it has returned. The function may return later.
func (a *attempt) run(h handler) {
	a.progress.write = a.writeProgress
	ctx, cancel := context.WithValue(a.ctx, attemptKey{}, a), context.CancelFunc(func() {})
	fn := h.run
	if h.acquire != nil {
		if fn = a.acquire(ctx, h); fn == nil {
			return
		}
	}
	if limit := a.task().Policy.Timeout; limit > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, limit, &TimeoutError{limit})
	}
	defer cancel()

	results, started := make(chan result, 1), time.Now()
	a.returned = make(chan struct{})
	go func() {
		defer close(a.returned)
		call(ctx, fn, codec.Plain(a.claimed.Args), results)
	}()
	returned := a.await(ctx, results)
	a.took = time.Since(started)
	ended := context.Cause(ctx) // before the flush, which may outlast the timeout of a function that has returned in time
	a.progress.flush()
	a.judge(returned, ended)
}

// acquire gets what the function needs, and returns the function with that. Nil: it did not get it, or nobody wants the outcome any
// more, and the attempt is judged. What comes too late is released at once.
func (a *attempt) acquire(ctx context.Context, h handler) runner {
	var got runner // and release: read when their results are there
	var release func()
	results, wanted := make(chan result, 1), make(chan bool, 1)
	a.returned = make(chan struct{})
	go func() {
		defer close(a.returned)
		call(ctx, func(ctx context.Context, _ []byte) (_ []byte, err error) {
			got, release, err = h.acquire(ctx)
			return nil, err
		}, nil, results)
		if !<-wanted && release != nil {
			release()
		}
	}()
	r := a.await(ctx, results)
	ended := context.Cause(ctx)
	wanted <- r.err == nil && ended == nil
	if r.err == nil && ended == nil {
		return got
	}
	a.progress.flush()
	r.err = cmp.Or(r.err, ended)
	a.judge(r, ended)
	return nil
}

// call runs the function and sends what it has returned. A panic is an error with its stack. So is an error that cannot be read:
// a nil pointer in an error is a common slip.
func call(ctx context.Context, fn runner, args []byte, results chan<- result) {
	// What stands if runtime.Goexit ends it all, which runs deferred functions only.
	returned := result{err: errors.New("function ended its goroutine"), cause: refcache.CausePanic}
	defer func() {
		if p := recover(); p != nil {
			returned.err = fmt.Errorf("panic: %v\n\n%s", p, debug.Stack())
		}
		results <- returned
	}()
	value, err := fn(ctx, args)
	var said told
	if err != nil {
		_, _ = err.Error(), errors.As(err, new(*permanentError))
		said = tellOf(err)
	}
	returned = result{value, err, refcache.CauseError, said}
}

// await waits for the function, and once ctx has ended no longer than its grace and a little more.
func (a *attempt) await(ctx context.Context, results <-chan result) result {
	select {
	case r := <-results:
		return r
	case <-ctx.Done():
	}
	late := time.NewTimer(a.limit(ctx))
	defer late.Stop()
	// A timeout is the attempt's own affair: the end of the worker, or of the task, may follow.
	for over := a.ctx.Done(); ; {
		select {
		case r := <-results:
			return r
		case <-over:
			over = nil
			late.Reset(a.limit(a.ctx))
		case <-late.C:
			return result{err: context.Cause(ctx), cause: refcache.CauseError}
		}
	}
}

// grace is how long the function may take once ctx has ended.
func (a *attempt) grace(ctx context.Context) time.Duration {
	if errors.Is(context.Cause(ctx), ErrShutdown) {
		_, all := a.worker.cfg.shutdown()
		return min(functionGrace, all/8)
	}
	return functionGrace
}

// limit is how long the worker waits for what the function returns once ctx has ended.
func (a *attempt) limit(ctx context.Context) time.Duration {
	grace := a.grace(ctx)
	return grace + min(lateLimit, grace/2)
}
