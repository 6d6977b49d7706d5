package queue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const someRef = refcache.Ref(name + ":0123456789abcdef0123456789abcdef")

// commands notes the names of what is sent from now on.
func (h *house) commands() (sent func() []string) {
	var mu sync.Mutex
	var names []string
	h.server.SetFaults(func(cmd []string) memredis.Fault {
		mu.Lock()
		defer mu.Unlock()
		names = append(names, cmd[0])
		return memredis.Pass
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return names
	}
}

func TestANewCallIsRungForInTheSameStepAsAsynqWouldRing(t *testing.T) {
	inBubble(t, func(h *house) {
		rung := h.submit(7)
		h.enqueue(rung, queue.AtOnce)
		made, err := h.bell.Submit(h.Context(), someRef, submission(7)) // makes the script known
		require.NoError(h, err)
		require.Equal(h, refcache.Pending, made.Status)

		want, got := h.doorbell(rung, 1), h.doorbell(made.Record, 1)
		require.Equal(h, string(someRef), got.ID)
		require.Equal(h, string(someRef), string(got.Payload))
		got.ID, got.Payload = want.ID, want.Payload
		require.Equal(h, want, got)

		sent := h.commands()
		_, err = h.bell.Submit(h.Context(), someRef[:len(someRef)-1]+"0", submission(7))
		require.NoError(h, err)
		require.Equal(h, []string{"EVALSHA"}, sent())
		time.Sleep(time.Second) // until no wake-up is owed
	})
}

// What is in the way of the doorbell is looked at as in any other ring.
func TestANewCallWhoseDoorbellIsThereIsRungForAnew(t *testing.T) {
	for name, s := range states {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				r := h.submit(3)
				end := s.drive(h, r)
				defer end()
				require.NoError(h, h.rdb.Del(h.Context(), "refq:{"+name+"}:t:"+r.Ref.Hash()).Err())
				made, err := h.bell.Submit(h.Context(), r.Ref, submission(3))
				require.NoError(h, err)
				now := h.read(r.Ref)
				bell := h.doorbell(now, now.Delivery)
				require.NotNil(h, bell)
				require.Contains(h, []asynq.TaskState{asynq.TaskStatePending, asynq.TaskStateScheduled, asynq.TaskStateRetry}, bell.State)
				require.Equal(h, made.CreatedAt, now.CreatedAt)
			})
		})
	}
}

func TestANewCallWakesAnIdleWorkerInTheSameStep(t *testing.T) {
	inBubble(t, func(h *house) {
		heard := make(chan refcache.Ref, 9)
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer {
			heard <- d.Ref
			return queue.Answer{}
		})
		defer stop()
		time.Sleep(10 * time.Second)
		start := time.Now()
		_, err := h.bell.Submit(h.Context(), someRef, submission(3))
		require.NoError(h, err)
		require.Equal(h, someRef, <-heard)
		require.Less(h, time.Since(start), time.Millisecond)
	})
}

// A hit wakes nobody, and must not keep others from it.
func TestAHitLeavesTheWakeUpToTheNextCall(t *testing.T) {
	inBubble(t, func(h *house) {
		made, err := h.bell.Submit(h.Context(), someRef, submission(3))
		require.NoError(h, err)
		heard := make(chan time.Time, 9)
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			heard <- time.Now()
			return queue.Answer{}
		})
		defer stop()
		<-heard
		_, err = h.store.Claim(h.Context(), made.Ref, "t1", "w1")
		require.NoError(h, err)
		_, err = h.store.Finish(h.Context(), made.Ref, "t1", h.store.Completed([]byte("1")))
		require.NoError(h, err)
		time.Sleep(10 * time.Second)

		for range 2 { // the second comes without a doorbell, as the next call does, which is rung for apart
			hit, err := h.bell.Submit(h.Context(), someRef, submission(3))
			require.NoError(h, err)
			require.Equal(h, "1", string(hit.Result))
		}
		start := time.Now()
		_, err = h.bell.Submit(h.Context(), someRef[:len(someRef)-1]+"0", submission(3))
		require.NoError(h, err)
		require.Less(h, (<-heard).Sub(start), time.Millisecond)
	})
}

// Nobody knows whether a submission whose answer was lost was made; its resend finds its record and its doorbell.
func TestASubmissionWhoseAnswerIsLostRingsOnce(t *testing.T) {
	for _, fault := range []memredis.Fault{memredis.DropReply, memredis.DropRequest} {
		t.Run(string(fault), func(t *testing.T) {
			inBubble(t, func(h *house) {
				_, err := h.bell.Submit(h.Context(), someRef[:len(someRef)-1]+"0", submission(3)) // makes the script known
				require.NoError(h, err)
				var lost atomic.Int32
				h.server.SetFaults(func(cmd []string) memredis.Fault {
					if strings.HasPrefix(cmd[0], "EVAL") && strings.HasSuffix(cmd[4], someRef.Hash()) && lost.Add(1) == 1 {
						return fault
					}
					return memredis.Pass
				})
				made, err := h.bell.Submit(h.Context(), someRef, submission(3))
				require.NoError(h, err)
				require.GreaterOrEqual(h, lost.Load(), int32(2), "the client sent it again")
				h.holds(made.Record, asynq.TaskStatePending)
				require.Equal(h, 1, made.Delivery)
				time.Sleep(time.Second)
			})
		})
	}
}

// A key that is not asynq's is in the way of the doorbell: the call is on record, and the next to make it enqueues.
func TestASubmissionWhoseDoorbellCannotBeWrittenIsOnRecord(t *testing.T) {
	inBubble(t, func(h *house) {
		pending := "asynq:{" + name + "}:pending"
		require.NoError(h, h.rdb.Set(h.Context(), pending, "not asynq's", 0).Err())
		made, err := h.bell.Submit(h.Context(), someRef, submission(3))
		require.ErrorIs(h, err, refcache.ErrNotQueued)
		require.Equal(h, refcache.Pending, made.Status)
		require.Equal(h, refcache.Pending, h.read(someRef).Status)
		require.EqualValues(h, 1, h.store.ErrorCounts()["piggyback"])

		require.NoError(h, h.rdb.Del(h.Context(), pending).Err())
		_, err = h.bell.Submit(h.Context(), someRef, submission(3))
		require.NoError(h, err)
		require.EqualValues(h, 1, h.rdb.LLen(h.Context(), pending).Val())
		time.Sleep(time.Second)
	})
}

// Redis forgets its scripts while a pipeline of them is on its way: those behind are sent again, and each rings once.
func TestSubmissionsThatMeetNoScriptInTheMiddleOfAPipelineRingOnceEach(t *testing.T) {
	inBubble(t, func(h *house) {
		calls := func() (calls []store.Call) {
			for i := range 5 {
				ref := refcache.Ref(fmt.Sprintf("%s:%032x", name, i))
				calls = append(calls, store.Call{Ref: ref, Submission: submission(3)})
			}
			return calls
		}
		_, err := h.bell.Submit(h.Context(), someRef, submission(3)) // makes the script known
		require.NoError(h, err)
		var sent atomic.Int32
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVALSHA" && sent.Add(1) == 3 {
				return "NOSCRIPT No matching script. Please use EVAL."
			}
			return memredis.Pass
		})
		for _, made := range h.bell.SubmitMany(h.Context(), calls()) {
			require.NoError(h, made.Err)
			require.True(h, made.Starts)
			require.True(h, made.Enqueued)
			h.holds(made.Record, asynq.TaskStatePending)
		}
		require.EqualValues(h, 6, h.rdb.LLen(h.Context(), "asynq:{"+name+"}:pending").Val())
		time.Sleep(time.Second)
	})
}
