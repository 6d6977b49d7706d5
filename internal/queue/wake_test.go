package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/testkit"
)

// dequeues counts asynq's dequeue scripts from now on.
func (h *house) dequeues() *atomic.Int32 {
	var count atomic.Int32
	h.server.SetFaults(func(cmd []string) memredis.Fault {
		if strings.HasPrefix(cmd[0], "EVAL") && strings.Contains(strings.Join(cmd[2:], " "), "}:paused asynq:") {
			count.Add(1)
		}
		return memredis.Pass
	})
	return &count
}

// crew is many listeners, and who of them has heard what.
type crew struct {
	heard   chan string
	release chan bool
	stops   []func()
}

// crew starts so many listeners with a slot each, whose handlers take until they are released.
func (h *house) crew(n int) *crew {
	c := &crew{heard: make(chan string, 99), release: make(chan bool)}
	for i := range n {
		name := fmt.Sprint("worker", i)
		c.stops = append(c.stops, h.listener(name, 1, func(context.Context, queue.Doorbell) queue.Answer {
			c.heard <- name
			<-c.release
			return queue.Answer{}
		}).Shutdown)
	}
	time.Sleep(10 * time.Second) // until all are idle
	return c
}

func (c *crew) stop() {
	close(c.release)
	for _, stop := range c.stops {
		stop()
	}
}

func TestOneDoorbellWakesOneOfManyIdleWorkers(t *testing.T) {
	inBubble(t, func(h *house) {
		c := h.crew(20)
		count := h.dequeues()
		h.enqueue(h.submit(3), queue.AtOnce)
		time.Sleep(10 * time.Millisecond)
		require.Len(h, c.heard, 1)
		require.LessOrEqual(h, count.Load(), int32(2), "nobody else has looked")
		c.stop()
	})
}

func TestManyDoorbellsWakeAsMany(t *testing.T) {
	testkit.Long(t)
	inBubble(t, func(h *house) {
		c := h.crew(20)
		for range 15 {
			h.enqueue(h.submit(3), queue.AtOnce)
		}
		time.Sleep(10 * time.Millisecond)
		require.Len(h, c.heard, 15)
		c.stop()
	})
}

// To others it may still look idle.
func TestABusyWorkerPassesTheWakeUpOn(t *testing.T) {
	inBubble(t, func(h *house) {
		c := h.crew(8)
		var busy []any
		for range 4 {
			h.enqueue(h.submit(3), queue.AtOnce)
			busy = append(busy, <-c.heard)
		}
		h.rdb.SAdd(h.Context(), "refq:{"+name+"}:idle", busy...)
		for range 4 {
			h.enqueue(h.submit(3), queue.AtOnce)
		}
		time.Sleep(10 * time.Millisecond)
		require.Len(h, c.heard, 4)
		c.stop()
	})
}

// The pinned version of asynq asks in the way that the fetcher knows; else it would poll five times a second.
func TestAnIdleListenerHardlyEverAsks(t *testing.T) {
	inBubble(t, func(h *house) {
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer { return queue.Answer{} })
		time.Sleep(10 * time.Second)
		count := h.dequeues()
		time.Sleep(time.Minute)
		require.Zero(h, count.Load(), "it looks by going idle again")
		stop()
	})
}

// Wake-ups may get lost.
func TestAnIdleListenerLooksByItself(t *testing.T) {
	inBubble(t, func(h *house) {
		c := h.crew(1)
		h.rdb.Del(h.Context(), "refq:{"+name+"}:idle")
		h.enqueue(h.submit(3), queue.AtOnce)
		time.Sleep(3100 * time.Millisecond)
		require.Len(h, c.heard, 1)
		c.stop()
	})
}

func TestMoreDoorbellsThanOneScriptWakesForWakeAsMany(t *testing.T) {
	testkit.Long(t)
	inBubble(t, func(h *house) {
		c := h.crew(90)
		for range 90 {
			h.enqueue(h.submit(3), queue.AtOnce)
		}
		time.Sleep(100 * time.Millisecond)
		require.Len(h, c.heard, 90)
		c.stop()
	})
}

// A wake-up may have been sent to it in its last moment.
func TestAStoppingListenerPassesItsWakeUpOn(t *testing.T) {
	inBubble(t, func(h *house) {
		c := h.crew(1)
		defer c.stop()
		stopping := h.listener("stopping", 1, func(context.Context, queue.Doorbell) queue.Answer { return queue.Answer{} })
		defer stopping.Shutdown()
		time.Sleep(10 * time.Second)
		h.rdb.Del(h.Context(), "refq:{"+name+"}:idle") // nobody hears
		h.enqueue(h.submit(3), queue.AtOnce)
		h.rdb.SAdd(h.Context(), "refq:{"+name+"}:idle", "worker0")
		stopping.Stop()
		time.Sleep(10 * time.Millisecond)
		require.Len(h, c.heard, 1)
	})
}

// What asynq logs of its dequeues is all that tells of a Redis that refuses them.
func TestARefusedDequeueIsLogged(t *testing.T) {
	inBubble(t, func(h *house) {
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasPrefix(cmd[0], "EVAL") && strings.Contains(strings.Join(cmd[2:], " "), "}:paused asynq:") {
				return "NOPERM this user has no permissions to run the 'rpoplpush' command"
			}
			return memredis.Pass
		})
		var said bytes.Buffer
		c := h.config("one", 1)
		c.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		l := h.listenerWith(c, func(context.Context, queue.Doorbell) queue.Answer { return queue.Answer{} })
		time.Sleep(10 * time.Second)
		l.Shutdown()
		require.Contains(h, said.String(), "no permissions to run the 'rpoplpush'")
		require.Less(h, strings.Count(said.String(), "rpoplpush"), 8)
	})
}
