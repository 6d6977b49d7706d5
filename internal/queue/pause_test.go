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

func (h *house) pause(p refcache.Pause) {
	h.Helper()
	_, err := h.store.Pause(h.Context(), name, p, 0)
	require.NoError(h, err)
}

// resume ends a pause, while the worker able lives.
func (h *house) resume(p refcache.Pause) {
	h.Helper()
	h.beat()
	was, err := h.store.Resume(h.Context(), name, p)
	require.NoError(h, err)
	require.True(h, was)
}

// beat is a sign of life of the worker able.
func (h *house) beat() {
	h.Helper()
	_, err := h.store.Heartbeat(h.Context(), name, store.Beat{Worker: "able", About: "{}"})
	require.NoError(h, err)
}

var (
	wholeQueue = refcache.Pause{Queue: name, By: "ann"}
	ofThumb    = refcache.Pause{Func: "thumb/small", By: "ann"}
)

// isPaused is whether asynq takes the queue for paused.
func (h *house) isPaused() bool {
	h.Helper()
	info, err := h.asynq.GetQueueInfo(name)
	require.NoError(h, err)
	return info.Paused
}

func TestAQueueIsPausedAsAsynqsInspectorDoesIt(t *testing.T) {
	inBubble(t, func(h *house) {
		key := "asynq:{" + name + "}:paused"
		h.enqueue(h.submit(3), queue.AtOnce)
		require.NoError(h, h.bell.NoteQueue(h.Context(), name))
		require.NoError(h, h.asynq.PauseQueue(name))
		asynqs := h.rdb.Dump(h.Context(), key).Val()
		require.NoError(h, h.asynq.UnpauseQueue(name))
		h.pause(wholeQueue)
		require.Equal(h, asynqs, h.rdb.Dump(h.Context(), key).Val())
		require.Negative(h, h.rdb.TTL(h.Context(), key).Val())
		require.True(h, h.isPaused())
		require.Error(h, h.asynq.PauseQueue(name), "it is paused already")
		h.resume(wholeQueue)
		require.False(h, h.isPaused())

		h.pause(wholeQueue)
		require.NoError(h, h.asynq.UnpauseQueue(name))
		found, err := h.store.Pauses(h.Context(), name)
		require.NoError(h, err)
		require.Empty(h, found)
		require.NoError(h, h.asynq.PauseQueue(name))
		time.Sleep(time.Second)
		found, err = h.store.Pauses(h.Context(), name)
		require.NoError(h, err)
		require.Len(h, found, 1)
	})
}

func TestAPausedQueueGivesNothingOutAndResumesAtOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		able := h.taker("able", thumb)
		defer able.Shutdown()
		for range 10 {
			h.pause(wholeQueue)
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
			time.Sleep(7 * time.Second)
			require.Empty(h, able.ran)
			h.holds(r, asynq.TaskStatePending)
			start := time.Now()
			h.resume(wholeQueue)
			require.Equal(h, r.Ref, able.next(h))
			require.Less(h, time.Since(start), 10*time.Millisecond, "the message wakes it")
		}
	})
}

// known is who is noted to know thumb.
func (h *house) known() []string {
	return h.rdb.SMembers(h.Context(), "refq:{"+name+"}:knows:"+thumb).Val()
}

func TestAPausedFunctionIsSetAsideUntilItIsResumed(t *testing.T) {
	inBubble(t, func(h *house) {
		able := h.taker("able", thumb)
		defer able.Shutdown()
		time.Sleep(time.Second)
		for range 10 {
			h.beat()
			h.pause(ofThumb)
			time.Sleep(100 * time.Millisecond) // the message is heard
			require.Empty(h, h.known())
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
			count := h.dequeues()
			time.Sleep(30 * time.Second)
			require.Equal(h, []string{string(r.Ref)}, h.aside())
			require.Empty(h, able.ran)
			require.Less(h, int(count.Load()), 30, "an idle worker looks every 2 to 3 s")
			start := time.Now()
			h.resume(ofThumb)
			require.Equal(h, r.Ref, able.next(h))
			require.Less(h, time.Since(start), 10*time.Millisecond)
			require.Equal(h, []string{"able"}, h.known())
		}
	})
}

func TestBesideAPausedFunctionOthersAreStartedAtOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		able := h.taker("able", thumb, "other@1")
		defer able.Shutdown()
		h.pause(refcache.Pause{Func: "other"})
		for range 20 {
			time.Sleep(time.Second)
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
			start := time.Now()
			require.Equal(h, r.Ref, able.next(h))
			require.Less(h, time.Since(start), 10*time.Millisecond)
		}
	})
}

// A wake-up for what is paused takes the worker from those that are idle. It must not miss the next one for that.
func TestAWakeUpForAPausedFunctionLeavesItsWorkerIdle(t *testing.T) {
	inBubble(t, func(h *house) {
		able := h.taker("able", thumb)
		defer able.Shutdown()
		h.pause(ofThumb)
		time.Sleep(5 * time.Second)
		idle := func() []string { return h.rdb.SMembers(h.Context(), "refq:{"+name+"}:idle").Val() }
		require.Equal(h, []string{"able"}, idle())
		h.rdb.SAdd(h.Context(), "refq:{"+name+"}:knows:"+thumb, "able") // as before it has heard
		require.NoError(h, h.store.WakeFor(h.Context(), name, thumb))
		time.Sleep(10 * time.Millisecond)
		require.Equal(h, []string{"able"}, idle())
	})
}

// The answer to a question from before the pause may come late.
func TestALateAnswerDoesNotEndAPause(t *testing.T) {
	inBubble(t, func(h *house) {
		able := h.taker("able", thumb)
		defer able.Shutdown()
		before := queue.Ask()
		time.Sleep(time.Millisecond)
		h.pause(ofThumb)
		time.Sleep(100 * time.Millisecond)
		able.HearPauses(name, before(nil))
		h.enqueue(h.submit(3), queue.AtOnce)
		time.Sleep(10 * time.Second)
		require.Empty(h, able.ran)
		require.Len(h, h.aside(), 1)
		able.HearPauses(name, queue.Ask()(nil))
		require.NoError(h, able.TellPauses(h.Context(), h.store, name))
		able.next(h)
	})
}

func TestWhatIsPausedBeforeAWorkerStartsIsNotTaken(t *testing.T) {
	inBubble(t, func(h *house) {
		h.enqueue(h.submit(3), queue.AtOnce)
		h.pause(ofThumb)
		able := h.takerWith("able", map[string]queue.Heard{name: queue.Ask()([]string{"f:thumb/small"})}, thumb)
		defer able.Shutdown()
		time.Sleep(10 * time.Second)
		require.Empty(h, able.ran)
		h.resume(ofThumb)
		able.next(h)
	})
}
