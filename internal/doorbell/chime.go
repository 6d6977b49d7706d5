package doorbell

import (
	"context"
	_ "embed"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
)

// A chime tells one idle worker that asynq's list of doorbells has something for it. Chimes may get lost: idle workers
// look by themselves, too, each holdMost.

//go:embed chime.lua
var chimeText string

//go:embed idle.lua
var idleText string

var (
	chimeScript = redis.NewScript(chimeText)
	idleScript  = redis.NewScript(idleText)
)

func idleKey(queue string) string { return "refq:{" + queue + "}:idle" }

// chimeChannel is where a worker hears that a queue, named by the message, has a doorbell for it.
func chimeChannel(worker string) string { return store.WorkerChannel(worker) + ":chime" }

// chime wakes up to n idle workers of a queue.
func chime(ctx context.Context, rdb redis.Scripter, queue string, n int) error {
	if err := chimeScript.Run(ctx, rdb, []string{idleKey(queue)}, n, queue).Err(); err != nil {
		return fmt.Errorf("wake workers of queue %s: %w", queue, err)
	}
	return nil
}

// goIdle notes that a worker waits to be woken; false when there is something to do after all.
func goIdle(ctx context.Context, rdb redis.Scripter, queue, worker string) (bool, error) {
	keys := []string{idleKey(queue), "asynq:{" + queue + "}:pending", "asynq:{" + queue + "}:paused"}
	return idleScript.Run(ctx, rdb, keys, worker).Bool()
}

// chimes sends the chimes of one process: those that are due while one is under way go together.
type chimes struct {
	rdb redis.Scripter

	mu     sync.Mutex
	queues map[string]*chimesOwed
}

// chimesOwed is how many chimes are to be sent, and whether somebody is at it.
type chimesOwed struct {
	n    int
	busy bool
}

// mostChimes is how many workers are woken at a time: whoever finds much to do goes on by itself.
const mostChimes = 64

// add sends a chime, or leaves it to who is sending one just now. A chime that cannot be sent is dropped: idle workers
// look by themselves.
func (c *chimes) add(ctx context.Context, queue string) {
	c.mu.Lock()
	q := c.queues[queue]
	if q == nil {
		q = &chimesOwed{}
		c.queues[queue] = q
	}
	q.n++
	if q.busy {
		c.mu.Unlock()
		return
	}
	q.busy = true
	for q.n > 0 {
		n := min(q.n, mostChimes)
		q.n = 0
		c.mu.Unlock()
		_ = chime(ctx, c.rdb, queue, n)
		c.mu.Lock()
	}
	q.busy = false
	c.mu.Unlock()
}
