package doorbell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Patience with a doorbell that asynq says is being answered: somebody may be about to claim the task, or may have
// died on the way.
const (
	// AtOnce is for those who just changed the task: they know that the answer under way was to an older state.
	AtOnce = time.Duration(0)
	// Patient is for those who come by: asynq itself gives up on a dead worker's doorbell after up to 2 min (R7).
	Patient = 2 * time.Minute
)

const (
	// forEver keeps asynq from ending an attempt: its unit is the second, and the worker ends attempts itself.
	forEver = 10 * 365 * 24 * time.Hour
	// mostTurns bounds how often Ring follows others who change the same task.
	mostTurns = 20
)

// Bell rings for tasks. It is safe for concurrent use.
type Bell struct {
	rdb       redis.UniversalClient
	store     *store.Store
	client    *asynq.Client
	inspector *asynq.Inspector
	chimes    chimes
}

// New returns a Bell that uses rdb, which the caller closes.
func New(rdb redis.UniversalClient, s *store.Store) *Bell {
	return &Bell{rdb: rdb, store: s, client: asynq.NewClientFromRedisClient(rdb), inspector: asynq.NewInspectorFromRedisClient(rdb),
		chimes: chimes{rdb: rdb, queues: map[string]*chimesOwed{}}}
}

// Ring makes sure that asynq holds a doorbell for a task that should run; it does nothing for any other. r is the task
// as it was last read. A doorbell that is being answered counts for as long as patience after the task became ready.
func (b *Bell) Ring(ctx context.Context, r store.Record, patience time.Duration) error {
	for range mostTurns {
		if !owed(r) {
			return nil
		}
		err := b.enqueue(ctx, r)
		if err == nil {
			b.chimes.add(ctx, r.Ref.Queue())
			return nil
		}
		if !errors.Is(err, asynq.ErrTaskIDConflict) {
			return fmt.Errorf("ring for %s: %w", r.Ref, err)
		}
		bell, err := b.look(ctx, r)
		if err != nil {
			return err
		}
		if bell.state == absent {
			continue // answered meanwhile: its id is free again
		}
		if !bell.silent(r, patience) {
			return nil
		}
		r, err = b.store.Renumber(ctx, r.Ref, r.Delivery)
		if errors.Is(err, refcache.ErrTaskNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("ring for %s: others kept changing the task", r.Ref)
}

// RingIfSilent is Ring for those who come by many tasks, of which most have a doorbell: it looks first.
func (b *Bell) RingIfSilent(ctx context.Context, r store.Record) (rang bool, err error) {
	if !owed(r) {
		return false, nil
	}
	found, err := b.look(ctx, r)
	if err != nil || !found.silent(r, Patient) {
		return false, err
	}
	return true, b.Ring(ctx, r, Patient)
}

// enqueue puts a doorbell into asynq, with one retry more than the task has: at the end of its retries asynq archives
// also what is not counted, such as a task that was handed back.
func (b *Bell) enqueue(ctx context.Context, r store.Record) error {
	task := asynq.NewTask(r.Policy.Name, []byte(r.Ref))
	_, err := b.client.EnqueueContext(ctx, task, asynq.TaskID(taskID(r.Ref, r.Delivery)), asynq.Queue(r.Ref.Queue()),
		asynq.MaxRetry(r.Policy.MaxRetries+1), asynq.Timeout(forEver))
	return err
}

// found is a task's doorbell as asynq has it.
type found struct {
	state asynq.TaskState
	due   time.Time // of one that waits for its time
}

// absent stands beside asynq's states, which start at 1.
const absent = asynq.TaskState(0)

// mostDelay is how much later than the task a doorbell may be due: a little more than an unknown function is put off.
const mostDelay = 10 * time.Second

// silent reports whether the doorbell will not ring in time. asynq answers one in the archive, or completed, no more
// (R3); one that is due much later is left from an earlier life of the ref_id, whose record is gone.
func (f found) silent(r store.Record, patience time.Duration) bool {
	switch f.state {
	case asynq.TaskStatePending:
		return false
	case asynq.TaskStateScheduled, asynq.TaskStateRetry:
		ready := time.Now()
		if r.Status == refcache.Retrying {
			ready = r.NextRetryAt
		}
		return f.due.After(ready.Add(mostDelay))
	case asynq.TaskStateActive:
		return patience == AtOnce || readyFor(r) >= patience
	}
	return true
}

// readyFor is how long the task has been waiting for somebody to claim it.
func readyFor(r store.Record) time.Duration {
	since := r.UpdatedAt
	if r.Status == refcache.Retrying {
		since = r.NextRetryAt
	} else if since.IsZero() {
		since = r.CreatedAt
	}
	return r.ReadAt.Sub(since)
}

// look reads the task's doorbell.
func (b *Bell) look(ctx context.Context, r store.Record) (found, error) {
	queue := r.Ref.Queue()
	info, err := b.inspector.GetTaskInfo(queue, taskID(r.Ref, r.Delivery))
	switch {
	case errors.Is(err, asynq.ErrQueueNotFound):
		// A client notes its queue only once (R4): after a flush asynq's tools would not find it, nor any task in it.
		if err := b.rdb.SAdd(ctx, "asynq:queues", queue).Err(); err != nil {
			return found{}, fmt.Errorf("note asynq's queue %s: %w", queue, err)
		}
		return found{state: absent}, nil
	case errors.Is(err, asynq.ErrTaskNotFound):
		return found{state: absent}, nil
	case err != nil:
		return found{}, fmt.Errorf("look for the doorbell of %s: %w", r.Ref, err)
	}
	return found{info.State, info.NextProcessAt}, nil
}
