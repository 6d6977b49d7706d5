package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
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
	// mostTurns bounds how often Ring follows others who change the same task, and passes over doorbells of earlier lives
	// of the ref_id in asynq's archive.
	mostTurns = 200
	// ringers is how many doorbells a sweep rings at once: it shares its connections with what else the worker does.
	ringers = 8
)

// Bell rings for tasks. It is safe for concurrent use.
type Bell struct {
	rdb    redis.UniversalClient
	store  *store.Store
	client *asynq.Client
	pad    *pad
	chimes chimes
	hits   hits
}

// New returns a Bell that uses rdb, which the caller closes.
func New(rdb redis.UniversalClient, s *store.Store) *Bell {
	rdb = script.New(rdb)
	return &Bell{rdb, s, asynq.NewClientFromRedisClient(rdb), newPad(rdb), chimes{rdb: rdb, owed: map[string]int{}}, hits{last: map[string]bool{}}}
}

// Ring makes sure that asynq holds a doorbell for a task that should run; it does nothing for any other. r is the task
// as it was last read. A doorbell that is being answered counts for as long as patience after the task became ready.
func (b *Bell) Ring(ctx context.Context, r store.Record, patience time.Duration) error {
	for range mostTurns {
		if !owed(r) {
			return nil
		}
		err := enqueue(ctx, b.client, r)
		if err == nil {
			b.chimes.add(ctx, r.Ref.Queue(), 1)
			return nil
		}
		if !errors.Is(err, asynq.ErrTaskIDConflict) {
			b.store.Fault("ring", err)
			return fmt.Errorf("ring for %s: %w", r.Ref, err)
		}
		bells, err := b.look(ctx, r.Ref.Queue(), []string{TaskID(r.Ref, r.Delivery)}, 0)
		if err != nil {
			return fmt.Errorf("look for the doorbell of %s: %w", r.Ref, err)
		}
		if bells[0].state == absent {
			continue // answered meanwhile: its id is free again
		}
		if !bells[0].silent(ready(r), patience) {
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

// RingSilent rings for those of a queue's tasks that no doorbell is for, most have one. It answers how many those were;
// what could not be rung for is in err, and for the next sweep.
func (b *Bell) RingSilent(ctx context.Context, queue string, tasks []store.Waiting) (rang int, err error) {
	if len(tasks) == 0 {
		return 0, nil
	}
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = TaskID(t.Ref, t.Delivery)
	}
	bells, err := b.look(ctx, queue, ids, thorough)
	if err != nil {
		return 0, fmt.Errorf("look for the doorbells of queue %s: %w", queue, err)
	}
	var ringing sync.WaitGroup
	var mu sync.Mutex
	places := make(chan bool, ringers)
	goOn := func() bool { // one task that cannot be read must not hold up the others; if Redis is away, nothing can be done
		mu.Lock()
		defer mu.Unlock()
		return err == nil || errors.Is(err, refcache.ErrUnreadable)
	}
	for i, bell := range bells {
		if !bell.silent(tasks[i].Ready, Patient) {
			continue
		}
		places <- true
		if !goOn() {
			break
		}
		ringing.Go(func() {
			defer func() { <-places }()
			failed := b.ringAnew(ctx, tasks[i], bell.state)
			mu.Lock()
			defer mu.Unlock()
			if failed == nil {
				rang++
			}
			if err == nil || failed != nil && errors.Is(err, refcache.ErrUnreadable) {
				err = failed // one that ends the ringing must not hide behind one that does not
			}
		})
	}
	ringing.Wait()
	return rang, err
}

// ringAnew rings for a task whose doorbell is silent. What is left of that one keeps its id.
func (b *Bell) ringAnew(ctx context.Context, t store.Waiting, s state) error {
	var r store.Record
	var err error
	if s == absent {
		r, err = b.store.Read(ctx, t.Ref)
	} else {
		r, err = b.store.Renumber(ctx, t.Ref, t.Delivery)
	}
	if errors.Is(err, refcache.ErrTaskNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.Ring(ctx, r, Patient)
}

// NoteQueue tells asynq's tools of a queue. A client does that only once (R4): after a flush, or when somebody deletes the
// queue there, they would show neither the queue nor anything in it.
func (b *Bell) NoteQueue(ctx context.Context, queue string) error {
	if err := b.rdb.SAdd(ctx, "asynq:queues", queue).Err(); err != nil {
		return fmt.Errorf("note asynq's queue %s: %w", queue, err)
	}
	return nil
}

// enqueue puts a doorbell into asynq, with one retry more than the task has: at the end of its retries asynq archives
// also what is not counted, such as a task that was handed back.
func enqueue(ctx context.Context, to *asynq.Client, r store.Record) error {
	task := asynq.NewTask(r.Policy.Name, []byte(r.Ref))
	_, err := to.EnqueueContext(ctx, task, asynq.TaskID(TaskID(r.Ref, r.Delivery)), asynq.Queue(r.Ref.Queue()),
		asynq.MaxRetry(r.Policy.MaxRetries+1), asynq.Timeout(forEver))
	return err
}

// ready is when the task can or could be claimed.
func ready(r store.Record) time.Time {
	switch {
	case r.Status == refcache.Retrying:
		return r.NextRetryAt
	case r.UpdatedAt.IsZero():
		return r.CreatedAt
	}
	return r.UpdatedAt
}
