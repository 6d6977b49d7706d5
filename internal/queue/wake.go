package queue

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

// A wake-up tells a worker that a list of doorbells has something for it. The message names the queue. A space and a name
// behind that say that the doorbell is set aside under the name; "due" and a number, in how many ms time frees a key of a
// gate. Wake-ups may get lost: idle workers look by themselves, too, each maxIdle.

//go:embed wake.lua
var wakeText string

//go:embed idle.lua
var idleText string

var (
	wakeScript = redis.NewScript(wakeText)
	idleScript = redis.NewScript(idleText)
)

// wake wakes up to n idle workers of a queue.
func wake(ctx context.Context, rdb redis.Scripter, queue string, n int) error {
	if err := script.Discreet(wakeScript.Run(ctx, rdb, []string{store.IdleKey(queue), store.NobodysKey(queue)}, n, queue)).Err(); err != nil {
		return fmt.Errorf("wake workers of queue %s: %w", queue, err)
	}
	return nil
}

// What markIdle finds. Unless a queue has work, the worker is idle in it.
const (
	hasNothing = "idle"
	hasAside   = "aside" // under whatever name
	hasWork    = "busy"
)

// markIdle notes that a worker waits to be woken, unless there is something to do after all.
func markIdle(ctx context.Context, rdb redis.Scripter, queue, worker string) (is string, err error) {
	keys := []string{store.IdleKey(queue), keyPrefix(queue) + "pending", keyPrefix(queue) + "paused", store.AsideKey(queue),
		store.NobodysKey(queue)}
	return script.Discreet(idleScript.Run(ctx, rdb, keys, worker)).Text()
}

// wakeups sends the wake-ups of one process. The first of a queue goes out at once. Those that follow are sent together, at most
// every wakeEvery. It may be used concurrently.
type wakeups struct {
	rdb redis.Scripter

	mu   sync.Mutex
	owed map[string]int // by queue, while one is under way or has just been sent
}

const (
	wakeEvery = time.Millisecond
	// maxWakeups is how many workers one script wakes, at most.
	maxWakeups = 64
)

// begin leaves the next wake-up of a queue to the caller, who sends it and then calls end. It returns false when one is under
// way, or has just been sent.
func (w *wakeups) begin(queue string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, busy := w.owed[queue]; busy {
		return false
	}
	w.owed[queue] = 0
	return true
}

// end ends what begin has begun. If no wake-up was sent after all, the next need not wait.
func (w *wakeups) end(ctx context.Context, queue string, sent bool) {
	if !sent {
		w.flush(ctx, queue)
		return
	}
	w.flushLater(ctx, queue)
}

// add sends n wake-ups, or leaves them to be sent with others. Those that cannot be sent are dropped: idle workers look by
// themselves, too.
func (w *wakeups) add(ctx context.Context, queue string, n int) {
	w.mu.Lock()
	owed, busy := w.owed[queue]
	w.owed[queue] = owed + n
	w.mu.Unlock()
	if !busy {
		w.flush(ctx, queue)
	}
}

// flush sends what has come together, and goes on for as long as there is more.
func (w *wakeups) flush(ctx context.Context, queue string) {
	w.mu.Lock()
	n := w.owed[queue]
	if n == 0 {
		delete(w.owed, queue)
		w.mu.Unlock()
		return
	}
	now := min(n, maxWakeups)
	w.owed[queue] = n - now
	w.mu.Unlock()
	_ = wake(ctx, w.rdb, queue, now)
	w.flushLater(ctx, queue)
}

func (w *wakeups) flushLater(ctx context.Context, queue string) {
	time.AfterFunc(wakeEvery, func() { w.flush(context.WithoutCancel(ctx), queue) })
}
