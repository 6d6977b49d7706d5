package queue

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

//go:embed inspect.lua
var inspectText string

// inspectScript reads many doorbells at once, where asynq's Inspector would need two commands for each.
var inspectScript = redis.NewScript(inspectText)

// state is that of a doorbell as asynq has it, or what inspect.lua makes of it.
type state string

const (
	absent    state = ""
	pending   state = "pending"
	active    state = "active"
	scheduled state = "scheduled"
	retry     state = "retry"
	// What is in none of these will not ring: archived and completed (R3), and what only half of is left.
)

// thorough is how many pending doorbells, and such as are set aside, a sweep goes through to see whether those that it looks at are
// among them. In a longer queue they count as there until it is shorter: about 3 ms of Redis's time.
const thorough = 10_000

const (
	// maxDelay is how much later than the task a doorbell may be due: a little more than what a worker lacks something for is put off.
	maxDelay = 10 * time.Second
	// leaseTime is what asynq gives a worker to answer a doorbell; the worker's server extends it each 5 s.
	leaseTime = 30 * time.Second
	// abandonedAfter is how long ago the lease of a doorbell was last extended when nobody answers it any more: its
	// worker died, never heard of it, or answered it and Redis has lost that.
	abandonedAfter = 8 * time.Second
)

// found is a task's doorbell as asynq has it.
type found struct {
	state  state
	due    time.Time     // of one that is scheduled or retried
	unheld time.Duration // for how long nobody has extended the lease of an active one
	now    time.Time     // Redis's clock
}

// silent reports whether the doorbell of a task that is ready at a certain time will not ring in time. One that is due
// much later than the task is left from an earlier life of the ref_id, whose record is gone.
func (f found) silent(ready time.Time, waitLimit time.Duration) bool {
	switch f.state {
	case pending:
		return false
	case scheduled, retry:
		if ready.Before(f.now) {
			ready = f.now
		}
		return f.due.After(ready.Add(maxDelay))
	case active:
		return f.now.Sub(ready) >= waitLimit || waitLimit == AtOnce || f.unheld > abandonedAfter
	}
	return true
}

// inspect reads doorbells of a queue. Of the pending ones it makes sure that they are in the queue, or set aside, if those are no
// more than listed.
func (c *Client) inspect(ctx context.Context, queue string, ids []string, listed int) ([]found, error) {
	args := make([]any, 1, 1+len(ids))
	args[0] = listed
	for _, id := range ids {
		args = append(args, id)
	}
	answer, err := script.Discreet(inspectScript.Run(ctx, c.rdb, []string{keyPrefix(queue), store.AsideKey(queue)}, args...)).Slice()
	if err != nil {
		c.store.CountError("inspect", err)
		return nil, err
	}
	return parseFound(answer), nil
}

func parseFound(answer []any) []found {
	ms, _ := answer[0].(int64)
	now := time.UnixMilli(ms)
	var all []found
	for i := 1; i+1 < len(answer); i += 2 {
		name, _ := answer[i].(string)
		text, _ := answer[i+1].(string)
		seconds, _ := strconv.ParseInt(text, 10, 64) // asynq writes whole ones
		f := found{state: state(name), now: now}
		switch f.state {
		case scheduled, retry:
			f.due = time.Unix(seconds, 0)
		case active:
			f.unheld = now.Sub(time.Unix(seconds, 0).Add(-leaseTime))
		}
		all = append(all, f)
	}
	return all
}
