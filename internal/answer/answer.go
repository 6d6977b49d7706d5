// Package answer makes the answers that callers get from records: a record as a Response, and contexts that outlive
// their parent by a little, so that an answer is not lost with it.
package answer

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Snapshot is a call as it was read at one moment.
type Snapshot struct {
	store.Record
	Result []byte // JSON; nil when there is none

	refreshing bool // it is the old result of a call that is being run again
}

// Old is the answer of a call in flight with an old result, for those whom that result serves: a complete call.
func (s Snapshot) Old() Snapshot {
	s.Status, s.StartedAt, s.refreshing = refcache.Complete, s.ResultFrom.AsOf, true
	s.Progress, s.Note, s.NextRetryAt, s.RetryCount, s.LostCount = nil, "", time.Time{}, 0, 0
	return s
}

// Response turns a record into the answer for people and programs. The error is that of a result that does not fit Out;
// the Response is filled all the same, but for its Value.
func Response[Out any](now *Snapshot) (r refcache.Response[Out], err error) {
	r = refcache.Response[Out]{
		RefID: now.Ref, Status: now.Status, IsComplete: now.Status == refcache.Complete, IsAsync: now.Status.InFlight(),
		CanRetry: now.CanRetry(), IsStale: now.Stale(), StaleReason: now.StaleReason(),
		Refreshing: now.refreshing || now.Status.InFlight() && now.Result != nil, Progress: now.Progress, Message: message(&now.Record),
		Error: now.Error(), RetryCount: now.RetryCount, MaxRetries: now.Policy.MaxRetries, Exhausted: now.Exhausted(),
		Func: now.Policy.Name, Queue: now.Ref.Queue(), CreatedAt: now.CreatedAt,
		ETA: ETA(&now.Record), LostCount: now.LostCount,
		Attempt: now.Attempt,
	}
	SetTimes(&r, now.StartedAt, now.CompletedAt, now.ExpiresAt())
	if !now.NextRetryAt.IsZero() {
		r.NextRetryAt = new(now.NextRetryAt)
	}
	if now.Result == nil {
		return r, nil
	}
	r.Value, err = Value[Out](now)
	r.HasValue = err == nil
	return r, err
}

// WithoutResult is the Response for a record without its result. It cannot fail, because there is nothing to decode.
func WithoutResult(r store.Record) refcache.Response[json.RawMessage] {
	res, _ := Response[json.RawMessage](&Snapshot{Record: r})
	return res
}

// SetTimes gives a Response times of its own, which its receiver may change. A zero time is one that is not known.
func SetTimes[Out any](r *refcache.Response[Out], started, completed, expires time.Time) {
	at := &struct{ started, completed, expires time.Time }{started, completed, expires} // one allocation for all three
	r.StartedAt, r.CompletedAt, r.ExpiresAt = known(&at.started), known(&at.completed), known(&at.expires)
}

// known returns nil for a time that is not known.
func known(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}

// Value decodes the result. The error names the call.
func Value[Out any](now *Snapshot) (Out, error) {
	var value, none Out
	if err := codec.Decode(now.Result, &value); err != nil {
		return none, fmt.Errorf("result of %s does not fit %T: %w", now.Ref, none, err)
	}
	return value, nil
}

// message tells a person how the task stands.
func message(r *store.Record) string {
	switch {
	case r.Status == refcache.Processing && r.Progress != nil && r.Progress.Message != "":
		return r.Progress.Message
	case r.Note != "":
		return r.Note
	}
	switch r.Status {
	case refcache.Pending:
		return "waits for a worker"
	case refcache.Processing:
		return fmt.Sprintf("attempt %d is running", r.Attempt)
	case refcache.Retrying:
		return fmt.Sprintf("attempt %d failed, retry %d of %d follows", r.Attempt, r.RetryCount, r.Policy.MaxRetries)
	case refcache.Complete:
		switch r.StaleReason() {
		case refcache.StaleError:
			return fmt.Sprintf("complete; its last refresh failed %s ago", ago(r))
		case refcache.StaleCancelled:
			return fmt.Sprintf("complete; its last refresh was cancelled %s ago", ago(r))
		}
		return "complete"
	case refcache.Cancelled:
		return "cancelled"
	}
	if r.Exhausted() {
		return fmt.Sprintf("failed %s ago, no retries left; --retry-failed runs it anew", ago(r))
	}
	return fmt.Sprintf("failed %s ago, %d of %d retries left; --retry-failed runs it anew", ago(r),
		r.Policy.MaxRetries-r.RetryCount, r.Policy.MaxRetries)
}

// ago is how long a call has been over.
func ago(r *store.Record) time.Duration {
	return max(0, r.ReadAt.Sub(r.CompletedAt)).Truncate(time.Second)
}

// ETA is what remains divided by the rate of this attempt; nil while that is not known.
func ETA(r *store.Record) *time.Duration {
	p := r.Progress
	if r.Status != refcache.Processing || p == nil || p.Total <= 0 || p.Current <= 0 || r.StartedAt.IsZero() {
		return nil
	}
	taken := float64(r.ReadAt.Sub(r.StartedAt))
	remaining := float64(p.Total - p.Current) // below 0 when it has done more than it thought
	return new(time.Duration(max(0, taken*remaining/float64(p.Current))))
}
