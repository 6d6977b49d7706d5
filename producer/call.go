package producer

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/refcache"
)

// Call makes a call and waits for its end up to f.AsyncTimeout. A call that was made before is not run again: Call
// joins it, or reads its result.
//
// The error is nil when the call is complete, and when it is still in flight: then the Response has IsAsync and the
// ref_id to poll or wait with. For a call that failed or was cancelled the Response is filled and the error is a
// *refcache.TaskError. With refcache.ErrNotQueued the Response is filled as well: Redis could not be told to queue the call,
// and no worker's sweep did so and had it run while Call waited. Any other error means that it could not be found out. The end of ctx ends the waiting, with its cause as error, never the call itself.
func Call[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], in In, options ...CallOption) (refcache.Response[Out], error) {
	var none refcache.Response[Out]
	c, err := prepare(p, f, in, options)
	if err != nil {
		return none, err
	}
	if !c.submission.Refresh {
		if known := p.local.get(c.ref); known != nil {
			p.tally.Of(c.ref.Queue(), c.submission.Policy.Name).Count(counters.CallHit)
			return answer.Response[Out](&known.Snapshot)
		}
	}
	patience := c.submission.Policy.AsyncTimeout
	var w *waiter
	if patience > 0 {
		w = p.inbox.wait(ctx, c.ref)
		defer w.stop()
		c.submission.Inbox = p.inbox.channel
	}
	asked := p.local.ask(ctx, c.ref)
	made := p.submitAndRing(ctx, c)
	if made.Ref == "" {
		return none, made.err
	}
	now := answer.Snapshot{Record: made.Record, Result: made.Result}
	p.local.keep(asked, now)
	if !c.waits(made) {
		return conclude[Out](ctx, p, now, made.err)
	}
	// What is not final when patience ends is the answer: in flight.
	now, err = p.await(ctx, w, now, patience, soonLook)
	return conclude[Out](ctx, p, now, made.unless(now, err))
}

// waits reports whether a call's answer is that of its end, which is still to come. An old result answers all calls but
// those that ask for a new one. One that could not be queued is waited for as well: a sweep queues it.
func (c call) waits(made submitted) bool {
	served := made.Result != nil && !c.submission.Refresh
	return (made.err == nil || errors.Is(made.err, refcache.ErrNotQueued)) && c.submission.Inbox != "" && made.Status.InFlight() && !served
}

// Cached returns f as a plain function: calling it is [Call].
func Cached[In, Out any](p *Producer, f refcache.Func[In, Out], options ...CallOption) func(context.Context, In) (refcache.Response[Out], error) {
	return func(ctx context.Context, in In) (refcache.Response[Out], error) {
		return Call(ctx, p, f, in, options...)
	}
}

// Wait blocks until the task ends and returns its result. For a task that failed or was cancelled the error is a
// *refcache.TaskError; refcache.ErrTaskNotFound when there is no such task, or none any more. It waits through
// outages of Redis; the end of ctx ends the waiting with its cause. f tells only the type of the result.
func Wait[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], ref refcache.Ref) (Out, error) {
	res, err := wait[Out](ctx, p, ref)
	return res.Value, err
}

// Wait blocks until the task ends and returns its Response, the result as JSON. The error is as that of [Wait].
func (p *Producer) Wait(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	return wait[json.RawMessage](ctx, p, ref)
}

func wait[Out any](ctx context.Context, p *Producer, ref refcache.Ref) (refcache.Response[Out], error) {
	if known := p.local.get(ref); known != nil {
		return answer.Response[Out](&known.Snapshot)
	}
	var none refcache.Response[Out]
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return none, err
	}
	w := p.inbox.wait(ctx, ref)
	defer w.stop()
	now, err := p.look(ctx, ref, p.inbox.channel)
	if err != nil {
		return none, err
	}
	if now.Status.InFlight() {
		now, err = p.await(ctx, w, now, forEver, soonLook)
	}
	return conclude[Out](ctx, p, now, err)
}

// GetAs reads what is known of a task now, its result as Out. An error means that it could not be found out, a failed
// task is none: refcache.ErrTaskNotFound when there is no such task. f tells only the type of the result.
func GetAs[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], ref refcache.Ref) (refcache.Response[Out], error) {
	if known := p.local.get(ref); known != nil {
		return answer.Response[Out](&known.Snapshot)
	}
	now, err := p.lookAt(ctx, ref)
	if err != nil {
		return refcache.Response[Out]{}, err
	}
	return answer.Response[Out](&now)
}

// Get is [GetAs] with the result as JSON.
func (p *Producer) Get(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	if known := p.local.get(ref); known != nil {
		return known.json(), nil
	}
	now, err := p.lookAt(ctx, ref)
	if err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	return answer.Response[json.RawMessage](&now)
}

// conclude turns what is known into what Call and Wait return; err is why the waiting ended early, or nil.
func conclude[Out any](ctx context.Context, p *Producer, now answer.Snapshot, err error) (refcache.Response[Out], error) {
	res, bad := answer.Response[Out](&now)
	if err != nil || bad != nil {
		return res, errors.Join(err, bad)
	}
	return res, p.failure(ctx, now)
}

// failure is the error of a task that ended without a result, nil for any other.
func (p *Producer) failure(ctx context.Context, now answer.Snapshot) error {
	if now.Status != refcache.Failed && now.Status != refcache.Cancelled {
		return nil
	}
	told := now.Info()
	info, err := p.store.Info(ctx, now.Ref)
	if err != nil || info.Status != told.Status || !info.CompletedAt.Equal(*told.CompletedAt) {
		info = told // without its history, rather than no answer, or another life's
	}
	return &refcache.TaskError{Info: info}
}
