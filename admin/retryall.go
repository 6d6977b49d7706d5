package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

const (
	// retriesAtOnce is how many tasks RetryAll works at: enough to hide the way to Redis, fewer than a client's
	// connections.
	retriesAtOnce = 16
	// retriesTimeout bounds what RetryAll finishes after its context has ended.
	retriesTimeout = 10 * time.Second
)

// Retried is what became of a task that RetryAll came to.
type Retried struct {
	// Task is how the task stands now. Of one that could not be read there is no more than RefID, Queue, Status, and
	// perhaps Func.
	Task refcache.Response[json.RawMessage]
	// Err is why the task was not retried: refcache.ErrRetriesExhausted, refcache.ErrNotFailed when somebody else was
	// quicker, refcache.ErrTaskNotFound when it is gone, refcache.ErrUnreadable; after any other it is not known
	// whether it was. Then the walk ends, but for the tasks at other nodes of a Cluster. refcache.ErrNotQueued means
	// that it was accepted, as for Retry. Nil: it was.
	Err error
}

// Accepted reports whether the task runs again.
func (r Retried) Accepted() bool {
	return r.Err == nil || errors.Is(r.Err, refcache.ErrNotQueued)
}

// RetryAll retries, as Retry does, the tasks that pass the filter and had failed when it came to them, in the order
// of List, and yields each once with what became of it: those that it could not retry, too. No task is retried twice,
// not even one that fails again before the walk is over. f.Status is Failed or empty.
//
// An error beside the zero Retried ends the walk: it could not go on. If it is a *monitor.PartialError, the tasks of all other
// queues have been dealt with. Starting again is safe, and goes on where this one ended. The end of ctx ends the walk, with its
// cause, after the tasks at work, which takes 10 s at most: all that were retried have been yielded then. A caller that breaks
// off stops the walk at once, but up to 15 tasks that it was not shown may have been retried. It holds a page of tasks in memory,
// however many there are.
func (a *Admin) RetryAll(ctx context.Context, f Filter, options ...RetryOption) iter.Seq2[Retried, error] {
	return func(yield func(Retried, error) bool) {
		today, err := policiesOf(options)
		if err != nil {
			yield(Retried{}, fmt.Errorf("retry failed tasks: %w", err))
			return
		}
		r := retryAll{Admin: a, fresh: isFresh(options), today: today, request: rand.Text(), silent: map[string]*monitor.Missing{}}
		for batch, err := range r.batches(ctx, f) {
			if ctx.Err() != nil {
				err = fmt.Errorf("retry failed tasks: %w", context.Cause(ctx))
			}
			if err != nil {
				yield(Retried{}, err)
				return
			}
			done, broken := r.retry(ctx, batch)
			for _, task := range done {
				if !yield(task, nil) {
					return
				}
			}
			if broken != nil {
				yield(Retried{}, broken)
				return
			}
		}
	}
}

// retryAll is one use of RetryAll. It has one request id, as every use of a command has: a task that it meets again,
// because it failed again at once, knows the id and is left alone (R11).
type retryAll struct {
	*Admin
	fresh   bool
	today   []refcache.Policy
	request string
	silent  map[string]*monitor.Missing // nodes of a Cluster that ceased to answer, by host:port, with queues that had tasks left
}

// batches parts the walk through the failed tasks. An error comes last, and alone.
func (r *retryAll) batches(ctx context.Context, f Filter) iter.Seq2[[]store.Found, error] {
	return func(yield func([]store.Found, error) bool) {
		if f.Status != "" && f.Status != refcache.Failed {
			yield(nil, fmt.Errorf("retry failed tasks: status %q: only failed tasks can be retried", f.Status))
			return
		}
		f.Status = refcache.Failed
		batch := make([]store.Found, 0, retriesAtOnce)
		var missing []monitor.Missing
		for task, err := range r.walk(ctx, f) {
			if partial, ok := errors.AsType[*monitor.PartialError](err); ok {
				missing = append(missing, partial.Missing...)
				continue
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if batch = append(batch, task); len(batch) == retriesAtOnce {
				if !yield(batch, nil) {
					return
				}
				batch = batch[:0]
			}
		}
		if len(batch) > 0 && !yield(batch, nil) {
			return
		}
		for _, m := range r.silent {
			missing = append(missing, *m)
		}
		if err := store.Partial(missing, true); err != nil {
			yield(nil, err)
		}
	}
}

// retry works at all tasks of a batch at once, to the end even if ctx ends: else nobody would know which were retried. Those
// of a silent node are left out. Broken is an error that concerns more than its task, and more than a node of a Cluster.
func (r *retryAll) retry(ctx context.Context, batch []store.Found) (done []Retried, broken error) {
	ctx, cancel := answer.Outliving(ctx, retriesTimeout)
	defer cancel()
	outcomes := make([]outcome, len(batch))
	var all sync.WaitGroup
	for i, task := range batch {
		if silent := r.silent[r.store.NodeOf(ctx, task.Ref.Queue())]; silent != nil {
			silent.Queues = withName(silent.Queues, task.Ref.Queue())
			outcomes[i].untold = true
			continue
		}
		all.Go(func() { outcomes[i] = r.retryOne(ctx, task) })
	}
	all.Wait()
	for i, o := range outcomes {
		if o.broken && !r.fellSilent(ctx, batch[i].Ref.Queue(), o.Err) {
			broken = o.Err
		}
		if !o.untold {
			done = append(done, o.Retried)
		}
	}
	return done, broken
}

// fellSilent is whether an error says that a node of a Cluster does not answer, the one of this queue. It is left out from then on.
func (r *retryAll) fellSilent(ctx context.Context, queue string, err error) bool {
	node := r.store.NodeOf(ctx, queue)
	if node == "" || !script.NodeFails(err) {
		return false
	}
	if r.silent[node] == nil {
		r.silent[node] = &monitor.Missing{Node: node, Err: err}
	}
	r.silent[node].Queues = withName(r.silent[node].Queues, queue)
	return true
}

// withName adds a name to some if it is not among them.
func withName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// outcome is what came of the attempt to retry a task.
type outcome struct {
	Retried
	broken bool // Redis did not answer as it should
	untold bool // this walk had retried it before, or does not come to it
}

func (r *retryAll) retryOne(ctx context.Context, seen store.Found) outcome {
	if seen.Err != nil {
		known := listed(seen)
		return outcome{Retried: Retried{refcache.Response[json.RawMessage]{RefID: known.RefID, Queue: known.Queue,
			Status: known.Status, Func: known.Func}, fmt.Errorf("retry %s: %w", seen.Ref, seen.Err)}}
	}
	result, task := store.RetryExhausted, seen.Record
	var err error
	switch {
	case r.fresh:
		result, task, err = r.change.Fresh(ctx, seen.Record, r.request, r.today)
	case seen.CanRetry():
		result, task, err = r.store.Retry(ctx, seen.Record, r.request, r.change.By, false)
	}
	if err != nil {
		about := errors.Is(err, refcache.ErrTaskNotFound) || errors.Is(err, refcache.ErrUnreadable)
		return outcome{Retried: Retried{answer.WithoutResult(seen.Record), err}, broken: !about}
	}
	before := result == store.RetryAccepted && task.Delivery == seen.Delivery // R13: a retry gives it a new one
	return outcome{Retried: Retried{answer.WithoutResult(task), r.change.RetryError(ctx, result, task)}, untold: before}
}
