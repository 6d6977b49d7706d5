package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

// EnqueueMany is Enqueue for many tasks of one queue, in one round trip for all that asynq holds no doorbell for yet, and one
// more for all others. The errors are in the order of the tasks.
func (c *Client) EnqueueMany(ctx context.Context, tasks []store.Record, waitLimit time.Duration) []error {
	errs := make([]error, len(tasks))
	var owing []int // positions in tasks
	for i, r := range tasks {
		if owed(r) {
			owing = append(owing, i)
		}
	}
	if len(owing) == 0 {
		return errs
	}
	var met []int
	enqueued := 0
	for n, e := range c.enqueueMany(ctx, tasks, owing) {
		switch i := owing[n]; {
		case e.err != nil:
			errs[i] = fmt.Errorf("enqueue a doorbell for %s: %w", tasks[i].Ref, e.err)
		case e.conflict:
			met = append(met, i)
		default:
			enqueued++
		}
	}
	if enqueued > 0 {
		c.wakeups.add(ctx, tasks[0].Ref.Queue(), enqueued)
	}
	c.requeueWhereLost(ctx, tasks, met, waitLimit, errs)
	return errs
}

// requeueWhereLost enqueues doorbells for those of the tasks that asynq holds one for, if that one is silent. Few are.
func (c *Client) requeueWhereLost(ctx context.Context, tasks []store.Record, positions []int, waitLimit time.Duration, errs []error) {
	if len(positions) == 0 {
		return
	}
	ids := make([]string, len(positions))
	for n, i := range positions {
		ids[n] = TaskID(tasks[i].Ref, tasks[i].Delivery)
	}
	doorbells, err := c.inspect(ctx, tasks[0].Ref.Queue(), ids, 0)
	for n, i := range positions {
		switch {
		case err != nil:
			errs[i] = fmt.Errorf("inspect the doorbell of %s: %w", tasks[i].Ref, err)
		case doorbells[n].silent(ready(tasks[i]), waitLimit):
			errs[i] = c.Enqueue(ctx, tasks[i], waitLimit)
		}
	}
}

// enqueued is what became of one of many doorbells.
type enqueued struct {
	conflict bool // asynq holds one with this id
	err      error
}

// enqueueMany puts doorbells for the tasks at some positions into asynq, in one round trip. If asynq's script is not known, each
// takes one.
func (c *Client) enqueueMany(ctx context.Context, tasks []store.Record, positions []int) []enqueued {
	all := make([]enqueued, len(positions))
	by, uses, err := c.recorder.record(ctx, tasks, positions)
	switch {
	case errors.Is(err, errUnrecognised):
		for n, i := range positions {
			err := enqueue(ctx, c.asynq, tasks[i])
			if all[n].conflict = errors.Is(err, asynq.ErrTaskIDConflict); !all[n].conflict {
				c.store.CountError("enqueue", err)
				all[n].err = err
			}
		}
		return all
	case err != nil:
		for n := range all {
			all[n].err = err
		}
		return all
	}
	for n, answer := range script.RunAll(ctx, c.rdb, by.script, uses) {
		added, err := answer.Int()
		c.store.CountError("enqueue", err)
		all[n] = enqueued{conflict: added == 0, err: err}
	}
	return all
}
