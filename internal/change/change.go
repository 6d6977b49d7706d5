// Package change changes one call for a person: Retry, Refresh, Cancel and Delete, as packages producer and admin offer
// them.
package change

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Changer changes calls in somebody's name. It is safe for concurrent use, and made anew for each name at no cost.
type Changer struct {
	Namespace string // whose calls it changes; those of others it does not find
	Store     *store.Store
	Queue     *queue.Client
	Counters  *counters.Counters // counts the calls that were cancelled
	By        string             // who the events of calls name
	Declared  *declared.Reader   // tells under which policy workers would run a call today
}

// Retry runs a failed call again, spending one of the retries that are left. It does not wait. The errors are those of
// admin.Admin.Retry.
func (c Changer) Retry(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	return c.retry(ctx, ref, func(seen store.Record) (store.RetryOutcome, store.Record, error) {
		return c.Store.Retry(ctx, seen, rand.Text(), c.By, false)
	})
}

// RetryFresh runs a failed call again in a new cycle, under the policy of today. It does not wait. The errors are those of
// admin.Admin.Retry.
func (c Changer) RetryFresh(ctx context.Context, ref refcache.Ref, today []refcache.Policy) (refcache.Response[json.RawMessage], error) {
	return c.retry(ctx, ref, func(seen store.Record) (store.RetryOutcome, store.Record, error) {
		return c.Fresh(ctx, seen, rand.Text(), today)
	})
}

func (c Changer) retry(ctx context.Context, ref refcache.Ref, again func(store.Record) (store.RetryOutcome, store.Record, error)) (refcache.Response[json.RawMessage], error) {
	seen, err := c.see(ctx, ref)
	if err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	outcome, task := store.RetryNotFailed, seen
	if seen.Status == refcache.Failed {
		if outcome, task, err = again(seen); err != nil {
			return refcache.Response[json.RawMessage]{}, err
		}
	}
	return answer.WithoutResult(task), c.RetryError(ctx, outcome, task)
}

// Fresh runs the failed task seen in a new cycle: under that of the policies of today which is the function's, else the one
// that living workers declare, else that on record.
func (c Changer) Fresh(ctx context.Context, seen store.Record, request string, today []refcache.Policy) (store.RetryOutcome, store.Record, error) {
	for _, p := range today {
		if p.Name == seen.Policy.Name && p.Version == seen.Policy.Version {
			return c.retryUnder(ctx, seen, request, p)
		}
	}
	policy, ok, err := c.declaredPolicy(ctx, seen)
	switch {
	case err != nil:
		return "", store.Record{}, err
	case ok:
		return c.retryUnder(ctx, seen, request, policy)
	}
	return c.Store.Retry(ctx, seen, request, c.By, true)
}

func (c Changer) retryUnder(ctx context.Context, seen store.Record, request string, policy refcache.Policy) (store.RetryOutcome, store.Record, error) {
	turn, err := c.turn(ctx, seen, policy.Gate)
	if err != nil {
		return "", store.Record{}, err
	}
	return c.Store.RetryUnder(ctx, seen, request, c.By, policy, turn)
}

// turn is where a task stands in the line of a gate, by what living workers declare; the zero Turn if they do not.
func (c Changer) turn(ctx context.Context, seen store.Record, gate refcache.Gate) (store.Turn, error) {
	if gate.Name == "" {
		return store.Turn{}, nil
	}
	functions, err := c.Declared.Functions(ctx, seen.Ref.Queue())
	if err != nil {
		return store.Turn{}, err
	}
	f := functions[declared.Name(seen.Policy.Name, seen.Policy.Version)]
	if f.Policy.Gate.Name != gate.Name || f.Turn == nil {
		return store.Turn{}, nil
	}
	whole, err := c.Store.Whole(ctx, seen.Ref)
	return f.TurnOf(whole.Args), err
}

// Policies are the policy of a call on record, and that which living workers declare, nil if none does.
func (c Changer) Policies(ctx context.Context, ref refcache.Ref) (stored refcache.Policy, today *refcache.Policy, err error) {
	seen, err := c.see(ctx, ref)
	if err != nil {
		return refcache.Policy{}, nil, err
	}
	policy, ok, err := c.declaredPolicy(ctx, seen)
	if ok {
		today = &policy
	}
	return seen.Policy, today, err
}

// declaredPolicy is the policy that living workers declare for the function of a task; false if none declares it.
func (c Changer) declaredPolicy(ctx context.Context, seen store.Record) (refcache.Policy, bool, error) {
	functions, err := c.Declared.Functions(ctx, seen.Ref.Queue())
	if err != nil {
		return refcache.Policy{}, false, err
	}
	f, ok := functions[declared.Name(seen.Policy.Name, seen.Policy.Version)]
	f.Policy.Name, f.Policy.Version, f.Policy.Queue = seen.Policy.Name, seen.Policy.Version, seen.Ref.Queue()
	return f.Policy, ok, nil
}

// RetryError makes sure that a worker looks at a call whose retry was accepted, and returns why it cannot, or why the
// retry was refused.
func (c Changer) RetryError(ctx context.Context, outcome store.RetryOutcome, task store.Record) error {
	switch outcome {
	case store.RetryAccepted:
		return c.enqueue(ctx, task)
	case store.RetryExhausted:
		return fmt.Errorf("retry %s: %w", task.Ref, refcache.ErrRetriesExhausted)
	}
	if task.Status == refcache.Failed {
		return fmt.Errorf("retry %s: %w: somebody else retried it meanwhile, and it failed again", task.Ref, refcache.ErrNotFailed)
	}
	if task.Stale() {
		return fmt.Errorf("retry %s: %w: it is complete; its last refresh failed; call with --refresh", task.Ref, refcache.ErrNotFailed)
	}
	return fmt.Errorf("retry %s: %w: it is %s", task.Ref, refcache.ErrNotFailed, task.Status)
}

// Refresh runs a complete call again. It does not wait. The errors are those of admin.Admin.Refresh.
func (c Changer) Refresh(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	seen, err := c.Whole(ctx, ref)
	if err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	policy := seen.Policy
	policy.FailureAnswer = refcache.Defaults.FailureAnswer // which is not on record
	made, err := c.Queue.Submit(ctx, ref, store.Submission{Request: rand.Text(), Namespace: seen.Namespace, Policy: policy,
		Args: seen.Args, Turn: seen.Turn, Seen: seen.Record, Refresh: true})
	if made.Ref == "" {
		return refcache.Response[json.RawMessage]{}, err
	}
	if made.Starts {
		c.Counters.Of(ref.Queue(), policy.Name).Count(counters.RefreshStarted)
	}
	return answer.WithoutResult(made.Record), err
}

// Cancel ends a call in flight. The errors are those of admin.Admin.Cancel.
func (c Changer) Cancel(ctx context.Context, ref refcache.Ref) error {
	seen, err := c.see(ctx, ref)
	if err != nil {
		return err
	}
	done, task, err := c.Store.Cancel(ctx, seen, c.By)
	switch {
	case err != nil:
		return err
	case !done:
		return fmt.Errorf("cancel %s: %w: it is %s", ref, refcache.ErrNotCancellable, task.Status)
	}
	if seen.Status.InFlight() { // else it was cancelled before
		c.Counters.Of(ref.Queue(), task.Policy.Name).Count(counters.CallCancelled)
	}
	return nil
}

// Delete removes a call that has ended, or whose record is damaged. The errors are those of admin.Admin.Delete.
func (c Changer) Delete(ctx context.Context, ref refcache.Ref) error {
	seen, err := c.see(ctx, ref)
	if errors.Is(err, store.ErrDamaged) {
		return c.deleteDamaged(ctx, ref)
	}
	if err != nil {
		return err
	}
	gone, err := c.Store.Delete(ctx, seen)
	if err != nil {
		return err
	}
	if !gone {
		return fmt.Errorf("delete %s: %w", ref, refcache.ErrInFlight)
	}
	return nil
}

func (c Changer) deleteDamaged(ctx context.Context, ref refcache.Ref) error {
	gone, err := c.Store.DeleteDamaged(ctx, ref)
	if err == nil && !gone {
		return fmt.Errorf("delete %s: its record was damaged and is no longer: look again", ref)
	}
	return err
}

// see reads the task that somebody wants to change: the change is made only to what was seen.
func (c Changer) see(ctx context.Context, ref refcache.Ref) (store.Record, error) {
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return store.Record{}, err
	}
	seen, err := c.Store.Read(ctx, ref)
	if err != nil {
		return store.Record{}, err
	}
	return seen, store.CheckNamespace(c.Namespace, ref, seen.Namespace)
}

// Whole reads a task with everything that is kept of it.
func (c Changer) Whole(ctx context.Context, ref refcache.Ref) (store.Whole, error) {
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return store.Whole{}, err
	}
	w, err := c.Store.Whole(ctx, ref)
	if err != nil {
		return store.Whole{}, err
	}
	return w, store.CheckNamespace(c.Namespace, ref, w.Namespace)
}

// enqueue makes sure that a worker looks at the call.
func (c Changer) enqueue(ctx context.Context, task store.Record) error {
	if err := c.Queue.Enqueue(ctx, task, queue.AtOnce); err != nil {
		return fmt.Errorf("%w: %w", refcache.ErrNotQueued, err)
	}
	return nil
}

// UserAtHost is who events name by default: the user of this process at its host.
func UserAtHost() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}
