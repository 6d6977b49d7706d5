package producer

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// RetryOption changes what RetryTask and RetryAll do.
type RetryOption func(*retryOptions)

type retryOptions struct{ fresh bool }

// FreshBudget makes RetryTask and RetryAll start a new cycle with the whole of max_retries, also for an exhausted task.
func FreshBudget() RetryOption {
	return func(o *retryOptions) { o.fresh = true }
}

func chosen(options []RetryOption) (o retryOptions) {
	for _, set := range options {
		set(&o)
	}
	return o
}

// TaskInfo reads everything that is known of a task but its arguments and result. The error is
// refcache.ErrTaskNotFound when there is no such task.
func (p *Producer) TaskInfo(ctx context.Context, ref refcache.Ref) (refcache.TaskInfo, error) {
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return refcache.TaskInfo{}, err
	}
	return p.store.Info(ctx, ref)
}

// RetryTask runs a failed task again, spending one of the retries that are left, or with FreshBudget in a new cycle.
// It does not wait. Its policy, arguments and history stay. The error is refcache.ErrTaskNotFound,
// refcache.ErrNotFailed when the task is in any other status, also because somebody else was quicker, or
// refcache.ErrRetriesExhausted; refcache.ErrNotQueued means that it was accepted, as for [Submit].
func (p *Producer) RetryTask(ctx context.Context, ref refcache.Ref, options ...RetryOption) (refcache.Response[json.RawMessage], error) {
	seen, err := p.see(ctx, ref)
	if err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	outcome, task := store.RetryNotFailed, seen
	if seen.Status == refcache.Failed {
		if outcome, task, err = p.store.Retry(ctx, seen, rand.Text(), p.cfg.By, chosen(options).fresh); err != nil {
			return refcache.Response[json.RawMessage]{}, err
		}
	}
	return answer.WithoutResult(task), p.judgeRetry(ctx, outcome, task)
}

func (p *Producer) judgeRetry(ctx context.Context, outcome store.RetryOutcome, task store.Record) error {
	switch outcome {
	case store.RetryAccepted:
		return p.ring(ctx, task)
	case store.RetryExhausted:
		return fmt.Errorf("retry %s: %w", task.Ref, refcache.ErrRetriesExhausted)
	}
	if task.Status == refcache.Failed {
		return fmt.Errorf("retry %s: %w: somebody else retried it meanwhile, and it failed again", task.Ref, refcache.ErrNotFailed)
	}
	return fmt.Errorf("retry %s: %w: it is %s", task.Ref, refcache.ErrNotFailed, task.Status)
}

// Cancel ends a task in flight at once: it is cancelled, and a running attempt is told to stop; whatever that attempt
// still returns is dropped. Cancelling a cancelled task again is a success. The error is refcache.ErrTaskNotFound, or
// refcache.ErrNotCancellable when the task has ended otherwise.
func (p *Producer) Cancel(ctx context.Context, ref refcache.Ref) error {
	seen, err := p.see(ctx, ref)
	if err != nil {
		return err
	}
	done, task, err := p.store.Cancel(ctx, seen, p.cfg.By)
	switch {
	case err != nil:
		return err
	case !done:
		return fmt.Errorf("cancel %s: %w: it is %s", ref, refcache.ErrNotCancellable, task.Status)
	}
	if seen.Status.InFlight() { // else it was cancelled before
		p.tally.Of(ref.Queue(), task.Policy.Name).Count(counters.CallCancelled)
	}
	return nil
}

// Delete removes a task that has ended: its result, its history, everything. The error is refcache.ErrTaskNotFound, or
// refcache.ErrInFlight. A record that is damaged is removed whatever it says: errors about it name this way out.
func (p *Producer) Delete(ctx context.Context, ref refcache.Ref) error {
	defer p.local.drop(ref) // also if it is not known whether it was deleted
	seen, err := p.see(ctx, ref)
	if errors.Is(err, store.ErrDamaged) {
		return p.deleteDamaged(ctx, ref)
	}
	if err != nil {
		return err
	}
	gone, err := p.store.Delete(ctx, seen)
	if err != nil {
		return err
	}
	if !gone {
		return fmt.Errorf("delete %s: %w", ref, refcache.ErrInFlight)
	}
	return nil
}

func (p *Producer) deleteDamaged(ctx context.Context, ref refcache.Ref) error {
	gone, err := p.store.DeleteDamaged(ctx, ref)
	if err == nil && !gone {
		return fmt.Errorf("delete %s: its record was damaged and is no longer: look again", ref)
	}
	return err
}

// see reads the task that a person wants to change: the change is made only to what was seen.
func (p *Producer) see(ctx context.Context, ref refcache.Ref) (store.Record, error) {
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return store.Record{}, err
	}
	return p.store.Read(ctx, ref)
}
