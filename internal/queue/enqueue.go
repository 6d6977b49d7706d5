package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// How long a doorbell that asynq says is being answered counts: somebody may be about to claim the task, or may have died on the
// way.
const (
	// AtOnce is for those who just changed the task: they know that the answer under way was to an older state.
	AtOnce = time.Duration(0)
	// Patient is for those who come by: asynq itself gives up on a dead worker's doorbell after up to 2 min (R7).
	Patient = 2 * time.Minute
)

const (
	// forEver keeps asynq from ending an attempt: its unit is the second, and the worker ends attempts itself.
	forEver = 10 * 365 * 24 * time.Hour
	// maxTurns bounds how often Enqueue follows others who change the same task, and passes over doorbells of earlier lives
	// of the ref_id in asynq's archive.
	maxTurns = 200
	// maxRequeues is how many doorbells a sweep enqueues at once: it shares its connections with what else the worker does.
	maxRequeues = 8
)

// Client enqueues doorbells for tasks. It may be used concurrently.
type Client struct {
	rdb      redis.UniversalClient
	store    *store.Store
	asynq    *asynq.Client
	recorder *recorder
	wakeups  wakeups
	hits     hits
}

// New returns a Client that uses rdb, which the caller closes. It tells s which flag of asynq's pauses a queue.
func New(rdb redis.UniversalClient, s *store.Store) *Client {
	s.FlagBy(PausedKey)
	c := &Client{rdb, s, asynq.NewClientFromRedisClient(unlisting{rdb}), newRecorder(unlisting{rdb}), wakeups{rdb: rdb, owed: map[string]int{}},
		hits{last: map[string]bool{}}}
	s.Rings(c.ring)
	return c
}

// ring enqueues doorbells for tasks of a queue whose turn has come. What it cannot enqueue is for a sweep.
func (c *Client) ring(ctx context.Context, tasks []store.Record) {
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	for _, err := range c.EnqueueMany(ctx, tasks, AtOnce) {
		c.store.CountError("enqueue", err)
	}
}

// ringTimeout is how long a Redis that does not answer holds up who rings for others.
const ringTimeout = 2 * time.Second

// Enqueue makes sure that asynq holds a doorbell for a task that should run; it does nothing for any other. r is the task as it
// was last read. A doorbell that is being answered counts until waitLimit after the task became ready.
func (c *Client) Enqueue(ctx context.Context, r store.Record, waitLimit time.Duration) error {
	for range maxTurns {
		if !owed(r) {
			return nil
		}
		err := enqueue(ctx, c.asynq, r)
		if err == nil {
			c.wakeups.add(ctx, r.Ref.Queue(), 1)
			return nil
		}
		if !errors.Is(err, asynq.ErrTaskIDConflict) {
			c.store.CountError("enqueue", err)
			if ctx.Err() != nil {
				err = ctx.Err() // asynq tells it in words alone
			}
			return fmt.Errorf("enqueue a doorbell for %s: %w", r.Ref, err)
		}
		doorbells, err := c.inspect(ctx, r.Ref.Queue(), []string{TaskID(r.Ref, r.Delivery)}, 0)
		if err != nil {
			return fmt.Errorf("inspect the doorbell of %s: %w", r.Ref, err)
		}
		if doorbells[0].state == absent {
			continue // answered meanwhile: its id is free again
		}
		if !doorbells[0].silent(ready(r), waitLimit) {
			return nil
		}
		r, err = c.store.NewDelivery(ctx, r.Ref, r.Delivery)
		if errors.Is(err, refcache.ErrTaskNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("enqueue a doorbell for %s: others kept changing the task", r.Ref)
}

// RequeueLost enqueues doorbells for those of a queue's tasks that have none that will ring. Most have one. It returns how many
// had none. What could not be enqueued is in err, and for the next sweep.
func (c *Client) RequeueLost(ctx context.Context, queue string, tasks []store.Waiting) (requeued int, err error) {
	if len(tasks) == 0 {
		return 0, nil
	}
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = TaskID(t.Ref, t.Delivery)
	}
	doorbells, err := c.inspect(ctx, queue, ids, thorough)
	if err != nil {
		return 0, fmt.Errorf("inspect the doorbells of queue %s: %w", queue, err)
	}
	var requeues sync.WaitGroup
	var mu sync.Mutex
	places := make(chan bool, maxRequeues)
	goOn := func() bool { // one task that cannot be read must not hold up the others; if Redis is away, nothing can be done
		mu.Lock()
		defer mu.Unlock()
		return err == nil || errors.Is(err, refcache.ErrUnreadable)
	}
	for i, doorbell := range doorbells {
		if !doorbell.silent(tasks[i].Ready, Patient) {
			continue
		}
		places <- true
		if !goOn() {
			break
		}
		requeues.Go(func() {
			defer func() { <-places }()
			failed := c.requeue(ctx, tasks[i], doorbell.state)
			mu.Lock()
			defer mu.Unlock()
			if failed == nil {
				requeued++
			}
			if err == nil || failed != nil && errors.Is(err, refcache.ErrUnreadable) {
				err = failed // one that ends the sweep must not hide behind one that does not
			}
		})
	}
	requeues.Wait()
	return requeued, err
}

// requeue enqueues a doorbell for a task whose doorbell is silent. What is left of that one keeps its id.
func (c *Client) requeue(ctx context.Context, t store.Waiting, s state) error {
	var r store.Record
	var err error
	if s == absent {
		r, err = c.store.Read(ctx, t.Ref)
	} else {
		r, err = c.store.NewDelivery(ctx, t.Ref, t.Delivery)
	}
	if errors.Is(err, refcache.ErrTaskNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Enqueue(ctx, r, Patient)
}

// asynqQueues is the set of asynq's queues.
const asynqQueues = "asynq:queues"

// unlisting is the Redis client of asynq's client, which lists a queue before it enqueues there for the first time. NoteQueue does
// that: the list lives on one node of a Cluster, and who enqueues on another does not wait for it.
type unlisting struct{ redis.UniversalClient }

func (c unlisting) SAdd(ctx context.Context, key string, members ...any) *redis.IntCmd {
	if key == asynqQueues {
		return redis.NewIntResult(0, nil)
	}
	return c.UniversalClient.SAdd(ctx, key, members...)
}

// NoteQueue tells asynq's tools of a queue. A client of asynq's does that only once (R4): after a flush, or when somebody deletes
// the queue there, they would show neither the queue nor anything in it.
func (c *Client) NoteQueue(ctx context.Context, queue string) error {
	if err := c.rdb.SAdd(ctx, asynqQueues, queue).Err(); err != nil {
		return fmt.Errorf("note asynq's queue %s: %w", queue, err)
	}
	return nil
}

// enqueue puts a doorbell into asynq, with one retry more than the task has: at the end of its retries asynq archives also what
// is not counted, such as a task that was handed back.
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
