package worker_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// dying starts a worker that is cut off for good as soon as it runs a task.
func (w *house) dying() {
	w.Helper()
	running := make(chan bool, 1)
	h := w.Start(worker.Config{}, world.Handles(work, func(ctx context.Context, _ string) (string, error) {
		running <- true
		return untilEnd(ctx, 1)
	}))
	<-running
	h.Unplug()
}

func TestTaskOfADeadWorkerIsRedelivered(t *testing.T) {
	inHouse(t, func(w *house) {
		ref := w.submit(work, "in")
		w.dying()
		died := time.Now()
		next := failing(1)
		w.Start(worker.Config{}, world.Handles(work, next.run))
		info := w.await(ref, refcache.Complete)
		waited := next.at(1).Sub(died)
		require.GreaterOrEqual(w, waited, 4*time.Second, "a beat may be missed")
		require.LessOrEqual(w, waited, 8500*time.Millisecond)

		require.Equal(w, 1, info.LostCount)
		require.Equal(w, 1, info.RetryCount, "the loss cost no retry, the failure after it did")
		require.Equal(w, 3, info.Attempt)
		require.Len(w, info.RetryHistory, 2)
		lost := info.RetryHistory[0]
		require.Equal(w, refcache.CauseLost, lost.Cause)
		require.Regexp(w, `^worker \S+ was lost while it ran this attempt$`, lost.Error)
		require.Contains(w, lost.Error, lost.Worker)
		require.NotEqual(w, info.RetryHistory[1].Worker, lost.Worker)
		require.Equal(w, []refcache.EventKind{refcache.EventRedelivered}, kinds(info))
		require.Equal(w, info.RetryHistory[1].Worker, info.Events[0].By)
	})
}

func TestTaskLostTooOftenFails(t *testing.T) {
	inHouse(t, func(w *house) {
		ref := w.submit(work, "in")
		for range 4 {
			w.dying()
		}
		w.Start(worker.Config{}, handleOther) // it only sweeps
		info := w.await(ref, refcache.Failed)
		require.Equal(w, 4, info.LostCount)
		require.Equal(w, refcache.CauseLost, info.ErrorCause)
		require.Contains(w, info.Error, "was lost while it ran this attempt")
		require.True(w, info.CanRetry, "no retry was used up")
		require.Len(w, info.RetryHistory, 4)
	})
}

// One of them may bring the process down each time; those that ran beside it would be lost as often.
func TestTasksThatLostWorkersRunOneAtATime(t *testing.T) {
	inHouse(t, func(w *house) {
		var running, most, beside atomic.Int32
		fn := func(_ context.Context, in string) (string, error) {
			if in == "unsuspected" {
				beside.Add(running.Load())
				return "", nil
			}
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(3 * time.Second)
			running.Add(-1)
			return "", nil
		}
		var suspects []refcache.Ref
		for _, in := range []string{"a", "b", "c"} {
			ref := w.submit(work, in)
			require.NoError(w, storetest.Set(w.Context(), w.Redis, "refq:{"+ref.Queue()+"}:t:"+ref.Hash(), "lost_count", 2))
			suspects = append(suspects, ref)
		}
		w.Start(worker.Config{Concurrency: 10}, world.Handles(work, fn))
		time.Sleep(2 * time.Second)
		w.await(w.submit(work, "unsuspected"), refcache.Complete)
		for _, ref := range suspects {
			w.await(ref, refcache.Complete)
		}
		require.EqualValues(w, 1, most.Load())
		require.EqualValues(w, 1, beside.Load(), "others run as ever")
	})
}

func TestWorkerThatComesBackFindsItsAttemptVoid(t *testing.T) {
	inHouse(t, func(w *house) {
		held, ends := noting()
		ref := w.submit(work, "in")
		old := w.Start(worker.Config{}, world.Handles(work, held))
		w.await(ref, refcache.Processing)
		synctest.Wait() // until the worker knows
		old.Unplug()
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		done := w.await(ref, refcache.Complete)
		require.Empty(w, ends, "it does not know yet")

		old.Plug()
		back := time.Now()
		end := <-ends
		require.ErrorIs(w, end.cause, worker.ErrVoid)
		require.Less(w, end.at.Sub(back), 5*time.Second)
		time.Sleep(10 * time.Second)
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, "done", res.Value, "what the old worker returned is dropped")
		require.Equal(w, done.CompletedAt, w.info(ref).CompletedAt)
	})
}

func TestLateOutcomeOfALostAttemptIsDropped(t *testing.T) {
	inHouse(t, func(w *house) {
		release := make(chan bool)
		stubborn := func(context.Context, string) (string, error) {
			<-release
			return "late", nil
		}
		ref := w.submit(work, "in")
		old := w.Start(worker.Config{}, world.Handles(work, stubborn))
		w.await(ref, refcache.Processing)
		synctest.Wait() // until the worker knows
		old.Unplug()
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		w.await(ref, refcache.Complete)
		close(release) // and the outcome waits for Redis
		time.Sleep(time.Second)
		old.Plug()
		time.Sleep(10 * time.Second)
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, "done", res.Value)
		require.Equal(w, 1, w.info(ref).AttemptsTotal)
	})
}

func TestDeadWorkerLeavesTheIndex(t *testing.T) {
	inHouse(t, func(w *house) {
		dead := w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(time.Second)
		require.EqualValues(w, 2, w.Redis.ZCard(w.Context(), "refq:{default}:workers").Val())
		dead.Unplug()
		time.Sleep(10 * time.Second)
		require.EqualValues(w, 1, w.Redis.ZCard(w.Context(), "refq:{default}:workers").Val())
	})
}

func TestLongAttemptIsLeftToItsWorker(t *testing.T) {
	inHouse(t, func(w *house) {
		var mu sync.Mutex
		ran := 0
		long := func(context.Context, string) (string, error) {
			mu.Lock()
			ran++
			mu.Unlock()
			time.Sleep(36 * time.Second) // longer than asynq's lease, and than a dead worker is waited for
			return "done", nil
		}
		for range 2 {
			w.Start(worker.Config{}, world.Handles(work, long))
		}
		ref := w.submit(work, "in")
		time.Sleep(37 * time.Second)
		info := w.info(ref)
		require.Equal(w, refcache.Complete, info.Status)
		require.Zero(w, info.LostCount)
		require.Equal(w, 1, ran)
	})
}

// R2: a beat may meet a claim on its way, and its answer, which says so, may come after the claim's. By then the token
// is in memory. The function runs on beyond that.
func TestSlowAnswersCostNoAttempt(t *testing.T) {
	inHouse(t, func(w *house) {
		slow := &runs{fn: func(context.Context, int) (string, error) {
			time.Sleep(3 * time.Second)
			return "", nil
		}}
		h := w.Start(worker.Config{}, world.Handles(work, slow.run))
		h.Lag(1300 * time.Millisecond)
		for i := range 5 {
			res, err := w.call(work, fmt.Sprint(i))
			require.NoError(w, err)
			require.Zero(w, res.LostCount)
			require.Equal(w, 1, res.Attempt)
		}
		require.Equal(w, 5, slow.count())
		h.Lag(0)
	})
}

// Nor may a beat that was sent before the claim arrived make its token look void.
func TestSlowClaimsCostNoAttempt(t *testing.T) {
	inHouse(t, func(w *house) {
		w.delay("dequeue_and_claim", 1500*time.Millisecond)
		slow := &runs{fn: func(ctx context.Context, _ int) (string, error) {
			time.Sleep(time.Second)
			return "", ctx.Err()
		}}
		w.Start(worker.Config{}, world.Handles(work, slow.run))
		for i := range 6 {
			res, err := w.call(work, fmt.Sprint(i))
			require.NoError(w, err)
			require.Equal(w, refcache.Complete, res.Status)
			require.Equal(w, 1, res.Attempt)
			require.Zero(w, res.LostCount)
		}
		require.Equal(w, 6, slow.count())
	})
}
