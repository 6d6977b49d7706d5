package queue_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// spy is the client of an asynq client or server. It notes which of asynq's scripts were recognised.
type spy struct {
	redis.UniversalClient
	mu   sync.Mutex
	seen map[string]bool
}

func (s *spy) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	s.mu.Lock()
	s.seen[queue.Recognise(name, keys, args)] = true
	s.mu.Unlock()
	return s.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

// What asynq's client and server of the pinned version send is what the table has.
func TestEachScriptOfAsynqIsRecognised(t *testing.T) {
	inBubble(t, func(h *house) {
		s := &spy{UniversalClient: h.rdb, seen: map[string]bool{}}
		client := asynq.NewClientFromRedisClient(s)
		server := asynq.NewServerFromRedisClient(s, asynq.Config{Queues: map[string]int{name: 1}, LogLevel: asynq.FatalLevel,
			ShutdownTimeout: time.Second, RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 }})
		var tried sync.Map
		require.NoError(h, server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
			switch task.Type() {
			case "retry":
				if _, again := tried.LoadOrStore("retry", true); !again {
					return errors.New("once")
				}
			case "archive":
				return asynq.SkipRetry
			case "requeue":
				time.Sleep(time.Hour)
			}
			return nil
		})))
		for _, kind := range []string{"done", "retry", "archive", "requeue"} {
			_, err := client.Enqueue(asynq.NewTask(kind, nil), asynq.Queue(name))
			require.NoError(h, err)
		}
		time.Sleep(20 * time.Second)
		server.Shutdown()
		time.Sleep(time.Hour) // until the handler that was left behind has ended
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, operation := range []string{"enqueue", "dequeue", "done", "retry", "archive", "requeue", "forward"} {
			require.True(h, s.seen[operation], operation)
		}
	})
}

// Another asynq may send one key more. Then it runs calls in its own way.
func TestAnAsynqWithAnotherKeyRunsCallsInItsOwnWay(t *testing.T) {
	defer queue.ForgetKeys()()
	inBubbleAlone(t, func(h *house) {
		var said bytes.Buffer
		c := h.config("one", 1)
		c.Logger = slog.New(slog.NewTextHandler(&said, nil))
		heard := make(chan refcache.Ref, 99)
		l := h.listenerWith(c, func(_ context.Context, d queue.Doorbell) queue.Answer {
			require.Nil(h, d.Ack)
			heard <- d.Ref
			if len(heard) == 2 {
				return queue.Again(time.Second, "once more", false)
			}
			return queue.Answer{}
		})
		made, err := h.bell.Submit(h.Context(), someRef, submission(3))
		require.NoError(h, err)
		require.False(h, made.Enqueued)
		time.Sleep(time.Second)
		require.Len(h, heard, 1)
		h.holds(made.Record)
		one, other := h.submit(3), h.submit(3)
		for _, err := range h.bell.EnqueueMany(h.Context(), []store.Record{one, other}, queue.AtOnce) {
			require.NoError(h, err)
		}
		time.Sleep(10 * time.Second)
		require.Len(h, heard, 4, "one of them twice")
		l.Shutdown()
		require.Empty(h, c.Slots)
		require.Equal(h, 1, strings.Count(said.String(), "level=WARN"), said.String())
	})
}

// Each has a slot of its own, whichever of them asynq hands over first.
func TestTwoDoorbellsOfOneCallEachReleaseTheirSlot(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		again, err := h.store.NewDelivery(h.Context(), r.Ref, r.Delivery)
		require.NoError(h, err)
		h.enqueue(again, queue.AtOnce)
		c := h.config("one", 3)
		slots := make(chan *queue.Slot, 2)
		var rang sync.WaitGroup
		rang.Add(2)
		l := h.listenerWith(c, func(_ context.Context, d queue.Doorbell) queue.Answer {
			require.Equal(h, r.Ref, d.Ref)
			slots <- d.Slot
			rang.Done()
			rang.Wait() // both are answered at once
			return queue.Answer{}
		})
		time.Sleep(10 * time.Second)
		require.NotSame(h, <-slots, <-slots)
		l.Shutdown()
		require.Empty(h, c.Slots, "the fetcher itself holds one while it looks")
		h.holds(r, 0, 0)
	})
}
