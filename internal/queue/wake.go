package queue

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
)

// A chime tells one idle worker that asynq's list of doorbells has something for it. Chimes may get lost: idle workers
// look by themselves, too, each holdMost.

//go:embed wake.lua
var chimeText string

//go:embed idle.lua
var idleText string

var (
	chimeScript = redis.NewScript(chimeText)
	idleScript  = redis.NewScript(idleText)
)

// chimeChannel is where a worker hears that a queue, named by the message, has a doorbell for it.
func chimeChannel(worker string) string { return store.WorkerChannel(worker) + ":chime" }

// chime wakes up to n idle workers of a queue.
func chime(ctx context.Context, rdb redis.Scripter, queue string, n int) error {
	if err := chimeScript.Run(ctx, rdb, []string{store.IdleKey(queue)}, n, queue).Err(); err != nil {
		return fmt.Errorf("wake workers of queue %s: %w", queue, err)
	}
	return nil
}

// goIdle notes that a worker waits to be woken; false when there is something to do after all.
func goIdle(ctx context.Context, rdb redis.Scripter, queue, worker string) (bool, error) {
	keys := []string{store.IdleKey(queue), "asynq:{" + queue + "}:pending", "asynq:{" + queue + "}:paused"}
	return idleScript.Run(ctx, rdb, keys, worker).Bool()
}

// chimes sends the chimes of one process. The first goes out at once; those that follow are sent together, at most every
// chimeEvery for a queue.
type chimes struct {
	rdb redis.Scripter

	mu   sync.Mutex
	owed map[string]int // by queue, while one is under way or has just been sent
}

const (
	chimeEvery = time.Millisecond
	// mostChimes is how many workers one script wakes, at most.
	mostChimes = 64
)

// begin leaves the next chime of a queue to the caller, who sends it and then calls end; false when one is under way, or has
// just been sent.
func (c *chimes) begin(queue string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, busy := c.owed[queue]; busy {
		return false
	}
	c.owed[queue] = 0
	return true
}

// end ends what begin has begun. If no chime was sent after all, the next need not wait.
func (c *chimes) end(ctx context.Context, queue string, sent bool) {
	if !sent {
		c.flush(ctx, queue)
		return
	}
	c.flushLater(ctx, queue)
}

// add sends n chimes, or leaves them to be sent with others. Those that cannot be sent are dropped: idle workers look by
// themselves, too.
func (c *chimes) add(ctx context.Context, queue string, n int) {
	c.mu.Lock()
	owed, busy := c.owed[queue]
	c.owed[queue] = owed + n
	c.mu.Unlock()
	if !busy {
		c.flush(ctx, queue)
	}
}

// flush sends what has come together, and goes on for as long as there is more.
func (c *chimes) flush(ctx context.Context, queue string) {
	c.mu.Lock()
	n := c.owed[queue]
	if n == 0 {
		delete(c.owed, queue)
		c.mu.Unlock()
		return
	}
	now := min(n, mostChimes)
	c.owed[queue] = n - now
	c.mu.Unlock()
	_ = chime(ctx, c.rdb, queue, now)
	c.flushLater(ctx, queue)
}

func (c *chimes) flushLater(ctx context.Context, queue string) {
	time.AfterFunc(chimeEvery, func() { c.flush(context.WithoutCancel(ctx), queue) })
}
