package producer

import (
	"context"
	"errors"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Do makes a call, waits for its end, and returns its result, as if f ran here. A call that was made before is not run
// again: Do joins it, or reads its result. It waits until the call or ctx ends, whatever f.AsyncTimeout says.
//
// For a call that failed or was cancelled the error is a *refcache.TaskError. When ctx ends, the error names the
// ref_id and wraps the cause of ctx; the call goes on. A call that is on record and could not be queued is waited
// for, because a worker's sweep queues it; the error wraps refcache.ErrNotQueued if ctx ends first.
// refcache.ErrTaskNotFound means that the call was deleted meanwhile. Arguments that cannot be called with are
// refused as by [Submit]. With any error the result is the zero value, but that of a run for a newer result that failed
// ([Refresh], [MaxAge], or after an invalidation): then it is the old result, and the error is a *refcache.TaskError with
// Refresh.
//
// Give ctx a deadline: where no worker serves the queue, Do waits for ever. A function that calls Do keeps its slot in
// the worker while it waits, so functions that call each other need more slots than there are such waits at a time.
func Do[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], in In, options ...CallOption) (Out, error) {
	var none Out
	c, err := prepare(p, f, in, options)
	if err != nil {
		return none, err
	}
	if hit, ok := p.localHit(c); ok {
		return answer.Value[Out](&hit)
	}
	made, now, err := p.callAndWait(ctx, c, forEver)
	if err != nil {
		return none, endedEarly(ctx, made, err)
	}
	failure := p.failure(ctx, now, c.needsNewer(now.Record, made.ReadAt, made.Stamp))
	if failure != nil && !now.Stale() {
		return none, failure
	}
	value, err := answer.Value[Out](&now)
	return value, errors.Join(failure, err)
}

// Cached returns f as a plain function. To call it is [Do].
func Cached[In, Out any](p *Producer, f refcache.Func[In, Out], options ...CallOption) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) { return Do(ctx, p, f, in, options...) }
}

// endedEarly is the error of a Do that could not wait for the end of its call. If ctx has ended, it wraps the cause.
func endedEarly(ctx context.Context, made store.Submitted, err error) error {
	cause := context.Cause(ctx)
	if cause != nil && made.Ref != "" && errors.Is(err, cause) {
		return errors.Join(err, made.Err) // that it could not be queued, if so
	}
	return err
}
