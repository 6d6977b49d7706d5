package producer

import (
	"fmt"
	"time"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// snapshot is a task as it was read, with its result if it has one.
type snapshot struct {
	store.Record
	result []byte
}

// response makes the answer for people and programs. The error is that of a result that does not fit Out; the
// Response is filled all the same, but for its Value.
func response[Out any](now *snapshot) (r refcache.Response[Out], err error) {
	at := &moments{now.StartedAt, now.CompletedAt, now.ExpiresAt()}
	r = refcache.Response[Out]{
		RefID: now.Ref, Status: now.Status, IsComplete: now.Status == refcache.Complete, IsAsync: now.Status.InFlight(),
		CanRetry: now.CanRetry(), StartedAt: known(&at.started), Progress: now.Progress, Message: message(&now.Record),
		Error: now.Error(), RetryCount: now.RetryCount, MaxRetries: now.Policy.MaxRetries, Exhausted: now.Exhausted(),
		Func: now.Policy.Name, Queue: now.Ref.Queue(), CreatedAt: now.CreatedAt,
		CompletedAt: known(&at.completed), ExpiresAt: known(&at.expires), ETA: eta(&now.Record), LostCount: now.LostCount,
		Attempt: now.Attempt,
	}
	if !now.NextRetryAt.IsZero() {
		r.NextRetryAt = new(now.NextRetryAt)
	}
	if now.result == nil {
		return r, nil
	}
	r.Value, err = decoded[Out](now)
	r.HasValue = err == nil
	return r, err
}

// moments are the times of one response: whoever gets it may change them.
type moments struct{ started, completed, expires time.Time }

// known gives nil for a time that is not known.
func known(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}

func decoded[Out any](now *snapshot) (Out, error) {
	var value, none Out
	if err := codec.Decode(now.result, &value); err != nil {
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
		return "complete"
	case refcache.Cancelled:
		return "cancelled"
	}
	if r.Exhausted() {
		return "failed, no retries left"
	}
	return fmt.Sprintf("failed, %d of %d retries left", r.Policy.MaxRetries-r.RetryCount, r.Policy.MaxRetries)
}

// eta is what remains divided by the rate of this attempt; nil while that is not known.
func eta(r *store.Record) *time.Duration {
	p := r.Progress
	if r.Status != refcache.Processing || p == nil || p.Total <= 0 || p.Current <= 0 || r.StartedAt.IsZero() {
		return nil
	}
	taken := float64(r.ReadAt.Sub(r.StartedAt))
	remaining := float64(p.Total - p.Current) // below 0 when it has done more than it thought
	return new(time.Duration(max(0, taken*remaining/float64(p.Current))))
}
