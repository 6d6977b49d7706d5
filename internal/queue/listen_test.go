package queue_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/refcache"
)

func TestDoorbellReachesTheHandlerOnceAndIsGone(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		heard := make(chan refcache.Ref, 9)
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer {
			heard <- d.Ref
			return queue.Answer{}
		})
		time.Sleep(time.Minute)
		stop()
		require.Len(h, heard, 1)
		require.Equal(h, r.Ref, <-heard)
		h.holds(r, 0)
	})
}

func TestIdleListenerAnswersAtOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		heard := make(chan time.Time, 9)
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			heard <- time.Now()
			return queue.Answer{}
		})
		defer stop()
		for n := range 20 {
			time.Sleep(time.Second + time.Duration(n)*7*time.Millisecond)
			rang := time.Now()
			h.enqueue(h.submit(3), queue.AtOnce)
			require.LessOrEqual(h, (<-heard).Sub(rang), time.Millisecond)
		}
	})
}

// An idle listener looks by itself after 2 s at the soonest. What it did not hear it looks for as soon as it hears again.
func TestAListenerLooksWhenItHearsAgain(t *testing.T) {
	inBubble(t, func(h *house) {
		var deaf atomic.Bool
		deaf.Store(true)
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if deaf.Load() && strings.HasSuffix(strings.ToUpper(cmd[0]), "SUBSCRIBE") {
				return memredis.DropRequest
			}
			return memredis.Pass
		})
		heard := make(chan time.Time, 1)
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			heard <- time.Now()
			return queue.Answer{}
		})
		defer stop()
		time.Sleep(200 * time.Millisecond)
		h.enqueue(h.submit(3), queue.AtOnce)
		time.Sleep(100 * time.Millisecond)
		deaf.Store(false)
		hears := time.Now()
		require.Less(h, (<-heard).Sub(hears), time.Second)
	})
}

// asynq cuts due times to whole seconds, downwards: a plain delay would end up to a second too soon.
func TestDoorbellAskedForAgainIsNeverEarly(t *testing.T) {
	inBubble(t, func(h *house) {
		for n := range 20 {
			delay := time.Duration(n) * 246 * time.Millisecond
			heard := make(chan time.Time, 2)
			stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
				heard <- time.Now()
				if len(heard) == 1 {
					return queue.Again(delay, "not yet", false)
				}
				return queue.Answer{}
			})
			time.Sleep(time.Duration(n) * 73 * time.Millisecond) // asked at any point of a second
			h.enqueue(h.submit(3), queue.AtOnce)
			time.Sleep(delay + 4*time.Second)
			stop()
			require.Len(h, heard, 2)
			waited := -(<-heard).Sub(<-heard)
			require.GreaterOrEqual(h, waited, delay)
			require.LessOrEqual(h, waited, delay+time.Millisecond)
		}
	})
}

func TestOnlyCountedAnswersShowAsRetries(t *testing.T) {
	inBubble(t, func(h *house) {
		for _, counted := range []bool{true, false} {
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
			h.answered(queue.Again(time.Hour, "the reason", counted))
			d := h.doorbell(r, 1)
			require.Equal(h, asynq.TaskStateRetry, d.State)
			require.Equal(h, "the reason", d.LastErr)
			want := 0
			if counted {
				want = 1
			}
			require.Equal(h, want, d.Retried)
		}
	})
}

func TestArchivedDoorbellShowsItsReason(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		h.answered(queue.Archive("attempt failed"))
		d := h.doorbell(r, 1)
		require.Equal(h, asynq.TaskStateArchived, d.State)
		require.Contains(h, d.LastErr, "attempt failed")
	})
}

func TestHandlerThatPanicsIsAskedAgain(t *testing.T) {
	inBubble(t, func(h *house) {
		heard := make(chan time.Time, 9)
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			heard <- time.Now()
			if len(heard) == 1 {
				panic("a bug")
			}
			return queue.Answer{}
		})
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		time.Sleep(10 * time.Second)
		stop()
		require.Len(h, heard, 2)
		h.holds(r, 0)
	})
}

func TestShutdownGivesUnansweredDoorbellsBack(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		taken, release := make(chan bool), make(chan bool)
		h.enqueue(r, queue.AtOnce)
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			taken <- true
			<-release
			return queue.Answer{}
		})
		<-taken
		h.enqueue(h.submit(3), queue.AtOnce)
		started := time.Now()
		stop()
		require.Less(h, time.Since(started), 5*time.Second)
		close(release)
		d := h.doorbell(r, 1)
		require.Equal(h, asynq.TaskStatePending, d.State)
		require.Zero(h, d.Retried)
	})
}

func TestStoppedListenerTakesNoMoreDoorbells(t *testing.T) {
	inBubble(t, func(h *house) {
		l := h.listener("one", 2, func(_ context.Context, d queue.Doorbell) queue.Answer {
			h.Errorf("answered %s", d.Ref)
			return queue.Answer{}
		})
		l.Stop()
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		time.Sleep(time.Minute)
		l.Shutdown()
		h.holds(r, asynq.TaskStatePending)
	})
}
