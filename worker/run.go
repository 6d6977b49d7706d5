package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	// functionGrace is how long a function may clean up once its context has ended.
	functionGrace = 5 * time.Second
	// mostPatience is how much longer the worker waits for what the function says after its grace.
	mostPatience = 500 * time.Millisecond
)

// run is one attempt in this process.
type run struct {
	ref     refcache.Ref
	token   string
	ctx     context.Context // ends with ErrVoid or ErrShutdown
	cancel  context.CancelCauseFunc
	claimed bool // guarded by live.mu
	suspect bool // its task has lost workers before

	returned      chan struct{} // closed when the function has returned; nil before it was called
	running       Running
	traceID       string // empty: it is not traced
	progress      progress
	shutdownGrace time.Duration
}

// grace is how long the function may take once ctx has ended.
func (r *run) grace(ctx context.Context) time.Duration {
	if errors.Is(context.Cause(ctx), ErrShutdown) {
		return min(functionGrace, r.shutdownGrace)
	}
	return functionGrace
}

// patience is how long the worker waits for what the function says once ctx has ended.
func (r *run) patience(ctx context.Context) time.Duration {
	grace := r.grace(ctx)
	return grace + min(mostPatience, grace/2)
}

// returned is what a function gave back.
type returned struct {
	result []byte
	err    error
	cause  refcache.Cause // error or panic
}

// ending is how an attempt went.
type ending struct {
	event   counters.Event // AttemptCancelled: nobody wants the outcome
	outcome store.Outcome
	err     error         // what it failed with
	took    time.Duration // by the function
}

// execute runs the function. The function may return later.
func (w *Worker) execute(r *run, h handler, claim store.ClaimAnswer) ending {
	task := claim.Record
	_, all := w.cfg.shutdown()
	r.shutdownGrace = all / 8
	r.progress.write = func(p refcache.Progress) { w.writeProgress(r, p) }

	ctx, cancel := context.WithValue(r.ctx, runKey{}, r), context.CancelFunc(func() {})
	if limit := task.Policy.Timeout; limit > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, limit, &TimeoutError{limit})
	}
	defer cancel()

	gave, started := make(chan returned, 1), time.Now()
	r.returned = make(chan struct{})
	go func() {
		defer close(r.returned)
		call(ctx, h, claim.Args, gave)
	}()
	got := await(ctx, r, gave)
	took := time.Since(started)
	ended := context.Cause(ctx) // before the flush, which may outlast the timeout of a function that has returned in time
	r.progress.flush()
	end := w.judge(task, got, ended)
	end.took = took
	return end
}

// await waits for the function, and once ctx has ended no longer than its grace.
func await(ctx context.Context, r *run, gave <-chan returned) returned {
	select {
	case got := <-gave:
		return got
	case <-ctx.Done():
	}
	late := time.NewTimer(r.patience(ctx))
	defer late.Stop()
	// A timeout is the attempt's own affair: the end of the worker, or of the task, may follow.
	for over := r.ctx.Done(); ; {
		select {
		case got := <-gave:
			return got
		case <-over:
			over = nil
			late.Reset(r.patience(r.ctx))
		case <-late.C:
			return returned{err: context.Cause(ctx), cause: refcache.CauseError}
		}
	}
}

// call runs the function and sends what it gave back. A panic is an error with its stack; so is an error that cannot be
// read: a nil pointer in an error is a common slip.
func call(ctx context.Context, h handler, args []byte, gave chan<- returned) {
	// What stands if runtime.Goexit ends it all, which runs deferred functions only.
	got := returned{err: errors.New("function ended its goroutine"), cause: refcache.CausePanic}
	defer func() {
		if p := recover(); p != nil {
			got.err = fmt.Errorf("panic: %v\n\n%s", p, debug.Stack())
		}
		gave <- got
	}()
	result, err := h(ctx, args)
	if err != nil {
		_, _ = err.Error(), errors.As(err, new(*permanentError))
	}
	got = returned{result, err, refcache.CauseError}
}

// judge tells what the function gave back comes to, knowing why its context ended, if it did.
func (w *Worker) judge(task store.Record, got returned, ended error) ending {
	var timeout *TimeoutError
	switch {
	case errors.Is(ended, ErrVoid):
		return ending{event: counters.AttemptCancelled}
	case got.err == nil && len(got.result) > w.cfg.MaxResult:
		got.err = Permanent(fmt.Errorf("result has %d bytes, more than max_result %d", len(got.result), w.cfg.MaxResult))
	case got.err == nil:
		return ending{event: counters.AttemptComplete, outcome: w.store.Completed(got.result)}
	case errors.Is(ended, ErrShutdown):
		return ending{event: counters.AttemptHandedBack, outcome: store.Released("", w.id)}
	case errors.As(ended, &timeout):
		got.cause = refcache.CauseTimeout
		if !errors.As(got.err, &timeout) {
			got.err = fmt.Errorf("%w: %w", ended, got.err)
		}
	}
	return ending{event: causes[got.cause], outcome: store.Errored(w.failure(task, got)), err: got.err}
}
