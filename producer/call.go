package producer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Call makes a call and waits for its end up to f.AsyncTimeout. A call that was made before is not run again: Call
// joins it, or reads its result.
//
// The error is nil when the call is complete, and when it is still in flight: then the Response has IsAsync and the
// ref_id to poll or wait with. For a call that failed or was cancelled the Response is filled and the error is a
// *refcache.TaskError. With refcache.ErrNotQueued the Response is filled as well: Redis could not be told to queue the
// call, and no worker's sweep did so and had it run while Call waited. Any other error means that it could not be found
// out, and the Response has the ref_id, if the arguments led to one. The end of ctx ends the waiting, with its cause as
// error, never the call itself.
//
// While a complete call is run again, Call answers at once with the old result, as complete. Who asked for that run by
// [Refresh] waits for it; if it fails, the Response has the old result, and the error is a *refcache.TaskError with
// Refresh.
func Call[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], in In, options ...CallOption) (refcache.Response[Out], error) {
	c, err := prepare(p, f, in, options)
	if err != nil {
		return refcache.Response[Out]{}, err
	}
	if hit, ok := p.localHit(c); ok {
		return answer.Response[Out](&hit)
	}
	made, now, err := p.callAndWait(ctx, c, c.submission.Policy.AsyncTimeout)
	if made.Ref == "" {
		return refcache.Response[Out]{RefID: c.ref}, err
	}
	return conclude[Out](ctx, p, now, c.needsNewer(now.Record, made.ReadAt, made.Stamp), errorUnlessEnded(made, now, err))
}

// localHit returns the result that is kept in memory for a call, and counts the hit; false if Redis is to be asked.
func (p *Producer) localHit(c call) (hit answer.Snapshot, ok bool) {
	if c.submission.Refresh || c.submission.KeyConflict == refcache.KeyRefuse {
		return hit, false
	}
	if hit, ok = p.local.get(c.ref, c.submission.Stamps); !ok || c.needsNewer(hit.Record, hit.ReadAt, unstamped) || c.overdue(hit) {
		return hit, false
	}
	hit.Cache = refcache.CacheHit
	p.countAnswer(c, hit)
	return hit, true
}

// callAndWait is callOnce, and once more if the call has joined a run that had begun too early for it. The second run
// begins after the call, whatever the clocks say.
func (p *Producer) callAndWait(ctx context.Context, c call, waitLimit time.Duration) (store.Submitted, answer.Snapshot, error) {
	if c.onlyIfCached {
		now, err := p.cached(ctx, c)
		return store.Submitted{Record: now.Record, Result: now.Result}, now, err
	}
	began := time.Now()
	made, now, err := p.callOnce(ctx, c, waitLimit)
	if err != nil || !c.joinedTooEarly(made, now) {
		return made, now, err
	}
	return p.callOnce(ctx, c.again(), max(0, waitLimit-time.Since(began)))
}

// again is the call made once more. It is counted already.
func (c call) again() call {
	c.submission.Request, c.counted = rand.Text(), true
	return c
}

// joinedTooEarly reports whether the run that a call has waited for gave a result that is too old for it, or began before
// what it depends on was invalidated, whatever it gave.
func (c call) joinedTooEarly(made store.Submitted, now answer.Snapshot) bool {
	if !made.Status.InFlight() || made.Starts {
		return false
	}
	switch {
	case now.Status == refcache.Complete && !now.Stale():
		asked := c.submission.Refresh // then any run that was in flight is as good as one of its own
		return !asked && c.needsNewer(now.Record, made.ReadAt, made.Stamp) || isInvalid(now.AsOf(), made.Stamp)
	case now.Status == refcache.Failed || now.Record.StaleReason() == refcache.StaleError:
		return isInvalid(now.StartedAt, made.Stamp)
	}
	return false
}

// callOnce submits a call and waits for its end up to waitLimit; 0: not at all. It returns what became of the
// submission, the call as it was seen last, and why it could not be submitted, queued or waited for.
func (p *Producer) callOnce(ctx context.Context, c call, waitLimit time.Duration) (store.Submitted, answer.Snapshot, error) {
	var w *waiter
	c.submission.Inbox = ""
	if waitLimit > 0 {
		w = p.inbox.wait(ctx, c.ref)
		defer w.stop()
		c.submission.Inbox = store.Inbox(p.inbox.id)
	}
	mark := p.local.beginRead(ctx, c.ref, c.submission.Stamps)
	made := p.submit(ctx, c)
	if made.Ref == "" {
		return made, answer.Snapshot{}, made.Err
	}
	if !isInvalid(made.AsOf(), made.Stamp) {
		p.local.keep(mark, answer.Snapshot{Record: made.Record, Result: made.Result})
	}
	now := c.found(made)
	if c.served(made) {
		return made, now, nil
	}
	if !c.waits(made) {
		return made, now, made.Err
	}
	now, err := p.await(ctx, w, now, waitLimit, firstPoll)
	return made, c.answered(now, made), err
}

// cached answers a call by what is on record. The error is refcache.ErrNotCached if that does not answer it.
func (p *Producer) cached(ctx context.Context, c call) (answer.Snapshot, error) {
	now, err := p.read(ctx, c.ref, "")
	if err != nil && !errors.Is(err, refcache.ErrTaskNotFound) {
		return answer.Snapshot{}, err
	}
	if err == nil && c.submission.KeyConflict == refcache.KeyRefuse {
		if err := p.checkArgs(ctx, c); err != nil {
			return answer.Snapshot{}, err
		}
	}
	if now.Status.InFlight() && now.Result != nil {
		now = now.Old()
	}
	stamp, err := p.store.Stamp(ctx, c.ref.Queue(), c.submission.Stamps)
	if err != nil {
		return answer.Snapshot{}, err
	}
	switch {
	case now.Status == refcache.Complete && !c.needsNewer(now.Record, now.ReadAt, stamp), now.Status == refcache.Failed && c.stillFailed(now.Record, stamp):
		now = c.answered(now, store.Submitted{Record: now.Record, Result: now.Result})
		p.countAnswer(c, now)
		return now, nil
	}
	return answer.Snapshot{}, fmt.Errorf("call %s of %s: %w: %s", c.ref, c.submission.Policy.Name, refcache.ErrNotCached, c.whyNotCached(now, stamp))
}

// whyNotCached is why what is on record does not answer a call that may only read.
func (c call) whyNotCached(now answer.Snapshot, stamp time.Time) string {
	switch {
	case now.Status == "":
		return "nothing is on record"
	case now.Status.InFlight():
		return "it is " + string(now.Status)
	case now.Status == refcache.Cancelled:
		return "it was cancelled"
	case now.Status == refcache.Failed && isInvalid(now.StartedAt, stamp), now.Status == refcache.Complete && isInvalid(now.AsOf(), stamp):
		return "what is on record was invalidated"
	case now.Status == refcache.Failed:
		return "it failed longer ago than a failure answers"
	}
	return fmt.Sprintf("the result is %v old", now.ReadAt.Sub(now.AsOf()).Round(time.Millisecond))
}

// checkArgs is the error of a call whose key is taken by other arguments, if it is.
func (p *Producer) checkArgs(ctx context.Context, c call) error {
	whole, err := p.store.Whole(ctx, c.ref)
	if errors.Is(err, refcache.ErrTaskNotFound) {
		return nil // it has expired just now
	}
	taken := whole.Status.InFlight() || whole.Status == refcache.Complete
	if err == nil && taken && !bytes.Equal(whole.Args, c.submission.Args) {
		return fmt.Errorf("call %s: %w", c.ref, refcache.ErrKeyConflict)
	}
	return err
}

// stillFailed reports whether the failure of a record answers the call.
func (c call) stillFailed(r store.Record, stamp time.Time) bool {
	return r.ReadAt.Sub(r.CompletedAt) < c.submission.Policy.FailureAnswer.Of(r.FailureKind()) && !isInvalid(r.StartedAt, stamp)
}

// found is the answer of a call by what its submission has found.
func (c call) found(made store.Submitted) answer.Snapshot {
	now := answer.Snapshot{Record: made.Record, Result: made.Result}
	if c.served(made) {
		now = now.Old()
	}
	return c.answered(now, made)
}

// answered is the answer of a call: how it stands now, and what the submission led to.
func (c call) answered(now answer.Snapshot, made store.Submitted) answer.Snapshot {
	now.Overdue = c.overdue(now)
	switch invalid := isInvalid(now.AsOf(), made.Stamp); {
	case invalid && now.Status.InFlight():
		now.Result = nil
	case invalid && now.Stale():
		now.Invalid = true
	}
	switch served := c.served(made); {
	case made.Starts && !served:
		now.Cache = refcache.CacheMiss
	case made.Status.InFlight() && !served:
		now.Cache = refcache.CacheJoined
	case now.StaleReason() != "":
		now.Cache = refcache.CacheStale
	default:
		now.Cache = refcache.CacheHit
	}
	return now
}

// overdue reports whether a call's answer is a result that is to be refreshed behind it.
func (c call) overdue(now answer.Snapshot) bool {
	return now.Status == refcache.Complete && c.submission.Fresh > 0 && now.ReadAt.Sub(now.AsOf()) > c.submission.Fresh
}

// served reports whether an old result answers a call: that of any call but those that ask for a new one. That the run
// for a new one could not be queued is no matter of this call: a sweep queues it.
func (c call) served(made store.Submitted) bool {
	return made.Ref != "" && made.Result != nil && made.Status.InFlight() && !c.needsNewer(made.Record, made.ReadAt, made.Stamp)
}

// needsNewer reports whether a call that is made at a time takes no result as old as that of a record, or as a stamp.
func (c call) needsNewer(r store.Record, at, stamp time.Time) bool {
	return c.submission.Refresh || c.submission.MaxAge > 0 && at.Sub(r.AsOf()) > c.submission.MaxAge || isInvalid(r.AsOf(), stamp)
}

// unstamped is the stamp of what was never invalidated.
var unstamped time.Time

// isInvalid reports whether what an attempt made that began at a time is no answer any more, because of a stamp.
func isInvalid(began, stamp time.Time) bool { return !stamp.IsZero() && !began.After(stamp) }

// waits reports whether a call's answer is that of its end, which is still to come. One that could not be queued is
// waited for as well: a sweep queues it.
func (c call) waits(made store.Submitted) bool {
	return (made.Err == nil || errors.Is(made.Err, refcache.ErrNotQueued)) && c.submission.Inbox != "" && made.Status.InFlight() && !c.served(made)
}

// errorUnlessEnded is the error of a caller who has waited for a call and now sees it as it is. That the call could
// not be queued matters only while it is in flight.
func errorUnlessEnded(made store.Submitted, now answer.Snapshot, err error) error {
	if err == nil && now.Status.InFlight() {
		return made.Err
	}
	return err
}

// conclude turns what is known into what Call and Wait return. asked: a refresh was asked for, or seen in flight. err is
// why the waiting ended early, or nil.
func conclude[Out any](ctx context.Context, p *Producer, now answer.Snapshot, asked bool, err error) (refcache.Response[Out], error) {
	res, bad := answer.Response[Out](&now)
	if err != nil || bad != nil {
		return res, errors.Join(err, bad)
	}
	return res, p.failure(ctx, now, asked)
}

// failure is the error of a call that ended without a result, and of a refresh that did, for those who asked for it or
// saw it in flight; nil for any other.
func (p *Producer) failure(ctx context.Context, now answer.Snapshot, asked bool) error {
	refresh := asked && now.Stale()
	if now.Status != refcache.Failed && now.Status != refcache.Cancelled && !refresh {
		return nil
	}
	ended, last := now.Info(), now.LastAttempt()
	info, err := p.store.Info(ctx, now.Ref)
	if err != nil || info.Status != ended.Status || !info.CompletedAt.Equal(*ended.CompletedAt) {
		info = ended // without its history, rather than no answer, or another life's
	}
	return &refcache.TaskError{Info: info, Refresh: refresh, Code: last.Code, Details: last.Details}
}
