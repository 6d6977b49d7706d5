package queue_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Each test here is the shortest sequence that goes wrong without the rule of that number in docs/protocol.md.

// A worker's last answer said that the task had failed, but a person retried it before the answer came: the doorbell is
// in asynq's archive, and will never ring.
func TestR3ArchivedDoorbellIsNone(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(0)
		h.enqueue(r, queue.AtOnce)
		h.answered(queue.Archive("failed"))
		h.holds(r, asynq.TaskStateArchived)
		require.True(h, h.rangFor(h.read(r.Ref)))
		h.holds(r, asynq.TaskStateArchived, asynq.TaskStatePending)
	})
}

// A flush takes asynq's set of queues with it, and clients that have used the queue before do not note it again. To
// asynq's tools the queue is then unknown, whatever is in it.
func TestR4QueueThatAsynqDoesNotKnowIsNoted(t *testing.T) {
	inBubble(t, func(h *house) {
		h.enqueue(h.submit(3), queue.AtOnce)
		require.NoError(h, h.rdb.FlushDB(h.Context()).Err())
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		_, err := h.asynq.GetTaskInfo(name, string(r.Ref))
		require.ErrorIs(h, err, asynq.ErrQueueNotFound)

		h.enqueue(r, queue.AtOnce)
		require.NoError(h, h.bell.NoteQueue(h.Context(), name))
		h.holds(r, asynq.TaskStatePending)
		require.Equal(h, 1, h.read(r.Ref).Delivery, "the doorbell was there all along")
		info, err := h.asynq.GetQueueInfo(name)
		require.NoError(h, err)
		require.Equal(h, 1, info.Pending)
	})
}

func TestR4SweepOfAFlushedQueueRings(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		require.True(h, h.rangFor(r), "asynq has never heard of the queue")
		h.holds(r, asynq.TaskStatePending)
	})
}

// A worker dies between taking the doorbell and claiming the task. asynq keeps that doorbell active for up to two
// minutes and may then archive it; those who come by wait no longer than that.
func TestR7ActiveDoorbellCountsForTwoMinutes(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		end := h.hang(r)
		defer end()
		time.Sleep(time.Until(r.CreatedAt.Add(queue.Patient - time.Millisecond)))
		h.enqueue(h.read(r.Ref), queue.Patient)
		require.Equal(h, 1, h.read(r.Ref).Delivery)
		time.Sleep(time.Millisecond)
		h.enqueue(h.read(r.Ref), queue.Patient)
		require.Equal(h, 2, h.read(r.Ref).Delivery)
		require.NotNil(h, h.doorbell(r, 2))
	})
}

// What counts is how long the task has been ready: an old task that has just become pending again, or that is due
// only now, is not overdue.
func TestR7OldTaskThatIsReadyOnlyNowIsGivenItsTime(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		time.Sleep(time.Hour)
		end := h.hang(r)
		defer end()
		fail := func(token string, delay time.Duration) {
			_, err := h.store.Claim(h.Context(), r.Ref, token, "w1")
			require.NoError(h, err)
			_, err = h.store.Finish(h.Context(), r.Ref, token, store.Errored(store.Failure{Delay: delay}))
			require.NoError(h, err)
		}
		ringsAnew := func(what string, anew bool) {
			h.Helper()
			before := h.read(r.Ref)
			h.enqueue(before, queue.Patient)
			require.Equal(h, anew, h.read(r.Ref).Delivery > before.Delivery, what)
		}

		fail("t1", 3*time.Minute)
		time.Sleep(4 * time.Minute)
		ringsAnew("overdue for one minute", false)
		fail("t2", 0)
		_, err := h.store.Claim(h.Context(), r.Ref, "t3", "w1")
		require.NoError(h, err)
		_, err = h.store.Finish(h.Context(), r.Ref, "t3", store.Released("", "w1"))
		require.NoError(h, err)
		time.Sleep(time.Minute)
		ringsAnew("pending for one minute", false)
		time.Sleep(time.Minute)
		ringsAnew("pending for two minutes", true)
	})
}

// A producer dies between record and doorbell. Whoever makes the same call finds it pending and rings; that it did not
// start the task is no reason not to.
func TestR14WhoeverFindsATaskPendingRings(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3) // and its producer dies
		again, err := h.store.Submit(h.Context(), r.Ref, store.Submission{Request: "another", Namespace: "default", Policy: r.Policy})
		require.NoError(h, err)
		require.False(h, again.Starts)
		require.Equal(h, refcache.Pending, again.Status)
		h.enqueue(again.Record, queue.AtOnce)
		h.holds(r, asynq.TaskStatePending)
		h.enqueue(again.Record, queue.AtOnce)
		h.holds(r, asynq.TaskStatePending)
	})
}
