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

	Cache   refcache.CacheUse // how a call came to it; empty: it was read by ref_id
	Overdue bool              // the result is older than its caller's Fresh
	Invalid bool              // the result was invalidated, and the run for a newer one failed or was cancelled

	refreshing bool // it is the old result of a call that is being run again
}

// Old is the answer of a call in flight with an old result, for those whom that result serves: a complete call.
func (s Snapshot) Old() Snapshot {
	s.Status, s.StartedAt, s.refreshing = refcache.Complete, s.ResultFrom.AsOf, true
	s.Progress, s.Note, s.NextRetryAt, s.RetryCount, s.LostCount = nil, "", time.Time{}, 0, 0
	s.HeldUp, s.Stands = store.HeldUp{}, nil
	return s
}

// age is how old the answer is: a result since the attempt began that made it, a failure since its end. False if it is
// neither.
func (s *Snapshot) age() (time.Duration, bool) {
	var since time.Time
	switch {
	case s.Status == refcache.Failed || s.Status == refcache.Cancelled:
		since = s.CompletedAt
	case s.Status == refcache.Complete || s.Result != nil:
		since = s.AsOf()
	}
	return max(0, s.ReadAt.Sub(since)), !since.IsZero()
}

// StaleReason is why the answer is an old result. That the last refresh failed tells more than that it is old, and less
// than that it was invalidated.
func (s *Snapshot) StaleReason() refcache.StaleReason {
	switch reason := s.Record.StaleReason(); {
	case s.Invalid:
		return refcache.StaleTag
	case reason == "" && s.Overdue:
		return refcache.StaleAge
	default:
		return reason
	}
}

// Response turns a record into the answer for people and programs. The error is that of a result that does not fit Out;
// the Response is filled all the same, but for its Value.
func Response[Out any](now *Snapshot) (r refcache.Response[Out], err error) {
	r = refcache.Response[Out]{
		RefID: now.Ref, Status: now.Status, IsComplete: now.Status == refcache.Complete, IsAsync: now.Status.InFlight(),
		CanRetry: now.CanRetry(), IsStale: now.StaleReason() != "", StaleReason: now.StaleReason(), Cache: now.Cache,
		Refreshing: now.refreshing || now.Status.InFlight() && now.Result != nil, Progress: now.Progress, Message: message(now), Unserved: now.HeldUp.Lacks, Paused: now.HeldUp.Paused,
		WaitsFor: now.WaitsFor(),
		Error:    now.Error(), RetryCount: now.RetryCount, MaxRetries: now.Policy.MaxRetries, Exhausted: now.Exhausted(),
		Func: now.Policy.Name, Queue: now.Ref.Queue(), CreatedAt: now.CreatedAt,
		ETA: ETA(&now.Record), LostCount: now.LostCount,
		Attempt: now.Attempt,
	}
	SetTimes(&r, now)
	if !now.NextRetryAt.IsZero() {
		r.NextRetryAt = new(now.NextRetryAt)
	}
	if now.Status == refcache.Failed || now.Stale() {
		last := now.LastAttempt()
		r.ErrorCode, r.ErrorDetails = last.Code, last.Details
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
func SetTimes[Out any](r *refcache.Response[Out], now *Snapshot) {
	at := &struct { // one allocation for all
		started, completed, expires time.Time
		age                         time.Duration
	}{now.StartedAt, now.CompletedAt, now.ExpiresAt(), 0}
	r.StartedAt, r.CompletedAt, r.ExpiresAt = known(&at.started), known(&at.completed), known(&at.expires)
	if age, ok := now.age(); ok {
		at.age, r.Age = age, &at.age
	}
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
func message(r *Snapshot) string {
	switch {
	case r.Status == refcache.Processing && r.Progress != nil && r.Progress.Message != "":
		return r.Progress.Message
	case r.HeldUp.String() != "":
		return r.HeldUp.String()
	case r.Stands != nil:
		return r.Stands.String()
	case r.Note != "":
		return r.Note
	}
	switch r.Status {
	case refcache.Waiting:
		return "waits for its turn"
	case refcache.Pending:
		return "waits for a worker"
	case refcache.Processing:
		return fmt.Sprintf("attempt %d is running", r.Attempt)
	case refcache.Retrying:
		return fmt.Sprintf("attempt %d failed, retry %d of %d follows", r.Attempt, r.RetryCount, r.Policy.MaxRetries)
	case refcache.Complete:
		switch r.StaleReason() {
		case refcache.StaleError:
			return fmt.Sprintf("complete; its last refresh failed %s ago", since(r.CompletedAt, r))
		case refcache.StaleCancelled:
			return fmt.Sprintf("complete; its last refresh was cancelled %s ago", since(r.CompletedAt, r))
		case refcache.StaleTag:
			ended := "failed"
			if r.Record.StaleReason() == refcache.StaleCancelled {
				ended = "was cancelled"
			}
			return fmt.Sprintf("complete; the value was invalidated, and its last refresh %s %s ago", ended, since(r.CompletedAt, r))
		case refcache.StaleAge:
			text := fmt.Sprintf("complete; the value is %s old", since(r.AsOf(), r))
			if r.refreshing {
				text += ", and is being refreshed"
			}
			return text
		}
		return "complete"
	case refcache.Cancelled:
		return "cancelled"
	}
	if r.Exhausted() {
		return fmt.Sprintf("failed %s ago, no retries left; --retry-failed runs it anew", since(r.CompletedAt, r))
	}
	return fmt.Sprintf("failed %s ago, %d of %d retries left; --retry-failed runs it anew", since(r.CompletedAt, r),
		r.Policy.MaxRetries-r.RetryCount, r.Policy.MaxRetries)
}

// since is how long ago something was when the record was read.
func since(then time.Time, r *Snapshot) time.Duration {
	return max(0, r.ReadAt.Sub(then)).Truncate(time.Second)
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
