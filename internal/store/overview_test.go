package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/monitor"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func (q *queue) overview() (monitor.QueueHealth, []monitor.WorkerHealth) {
	q.Helper()
	before := q.dump()
	seen, workers, err := q.Overview(q.Context(), q.name, refcache.AllNamespaces)
	require.NoError(q, err)
	require.Equal(q, before, q.dump(), "looking changes nothing")
	return seen, workers
}

func TestOverviewOfAnEmptyQueueIsEmpty(t *testing.T) {
	onBoth(t, func(q *queue) {
		seen, workers := q.overview()
		require.Equal(q, monitor.QueueHealth{Name: q.name}, seen)
		require.Empty(q, workers)
	})
}

func TestOverviewCountsWaitingTasksByFunction(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.retrying(time.Hour)
		q.pending()
		for range 2 {
			other := q.submission()
			other.Policy.Name, other.Policy.Version = "g", 3
			q.submit(q.ref(), other)
		}
		q.processing()
		q.complete()
		q.inLine("closed", "k")
		seen, _ := q.overview()
		require.Less(q, seen.OldestPending, soon)
		seen.OldestPending = 0
		require.Equal(q, monitor.QueueHealth{Name: q.name, InLine: 1, Pending: 3, Retrying: 1, Processing: 1,
			Waiting: []monitor.WaitingFunction{{Func: "f", Version: 1, Calls: 2}, {Func: "g", Version: 3, Calls: 2}}}, seen)
	})
}

// A task that was handed back or retried by hand has been pending since then, however old it is.
func TestOldestPendingTaskIsTheOneThatWaitsLongest(t *testing.T) {
	onBoth(t, func(q *queue) {
		again := q.pending()
		q.set(again.ref, "created_at", q.ago(100*time.Hour), "updated_at", q.ago(time.Hour))
		q.set(q.pending().ref, "created_at", q.ago(2*time.Hour))
		seen, _ := q.overview()
		require.InDelta(q, 2*time.Hour, seen.OldestPending, float64(soon))
	})
}

func TestOverviewCountsRetriesThatAreOverdue(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.due(q.retrying(0).ref, monitor.OverdueAfter-soon)
		seen, _ := q.overview()
		require.Zero(q, seen.Overdue)
		require.Zero(q, seen.OldestOverdue)

		q.due(q.retrying(0).ref, monitor.OverdueAfter+soon)
		q.due(q.retrying(0).ref, time.Hour)
		seen, _ = q.overview()
		require.Equal(q, 2, seen.Overdue)
		require.InDelta(q, time.Hour, seen.OldestOverdue, float64(soon))
	})
}

func TestOverviewCountsTasksWhoseRecordIsGone(t *testing.T) {
	onBoth(t, func(q *queue) {
		evicted, meddled := q.pending(), q.retrying(time.Hour)
		q.pending()
		require.NoError(q, q.rdb.Del(q.Context(), q.record(evicted.ref), q.record(meddled.ref)).Err())
		require.NoError(q, q.rdb.Set(q.Context(), q.record(meddled.ref), "no hash", 0).Err())
		moved := q.processing()
		q.score("pending", moved.ref.Hash(), q.now()) // as if it had moved on between two looks
		seen, _ := q.overview()
		require.Equal(q, 2, seen.Gone)
		require.Equal(q, []monitor.WaitingFunction{{Func: "f", Version: 1, Calls: 1}}, seen.Waiting)
	})
}

func TestOverviewLooksAtBothEndsOfALongQueue(t *testing.T) {
	testkit.Long(t)
	onBoth(t, func(q *queue) {
		fill := func(n int) {
			var entries []redis.Z
			for i := range n {
				entries = append(entries, redis.Z{Score: float64(i), Member: fmt.Sprintf("%032d", i)})
			}
			require.NoError(q, q.rdb.ZAdd(q.Context(), q.index(refcache.Pending), entries...).Err())
		}
		for _, n := range []int{store.MostLookedAt, store.MostLookedAt + 1, 2*store.MostLookedAt - 1, 2 * store.MostLookedAt} {
			fill(n)
			seen, _ := q.overview()
			require.Equal(q, n, seen.Gone, "each is looked at once")
			require.False(q, seen.Partial)
		}
		fill(2*store.MostLookedAt + 1)
		newest, oldest := q.submission(), q.submission()
		newest.Policy.Name, oldest.Policy.Name = "newest", "oldest"
		q.submit(q.ref(), newest)
		ref := q.ref()
		q.submit(ref, oldest)
		q.score("pending", ref.Hash(), time.UnixMilli(-1))
		seen, _ := q.overview()
		require.Equal(q, 2*store.MostLookedAt+3, seen.Pending)
		require.True(q, seen.Partial)
		require.Equal(q, []monitor.WaitingFunction{{Func: "newest", Version: 1, Calls: 1}, {Func: "oldest", Version: 1, Calls: 1}}, seen.Waiting)
	})
}

func TestOverviewTellsLivingWorkersFromDeadOnes(t *testing.T) {
	onBoth(t, func(q *queue) {
		text, err := json.Marshal(store.About{Host: "h", PID: 7, Functions: []string{"f@1"}, Since: 1_764_000_000_000})
		require.NoError(q, err)
		lives, dies := q.processing(), q.start(task{ref: q.pending().ref, worker: "w2"})
		_, err = q.Heartbeat(q.Context(), q.name, store.Beat{Worker: "w1", About: string(text), Runs: []store.Claim{lives.claim()}})
		require.NoError(q, err)
		q.beat("w2", dies.claim()) // what it says of itself cannot be read
		q.keepAlive("w1")
		q.silence("w2", time.Hour)

		seen, workers := q.overview()
		require.Equal(q, 2, seen.Processing)
		require.Equal(q, 1, seen.Lost)
		require.Len(q, workers, 2)
		dead, living := workers[0], workers[1]
		require.InDelta(q, time.Hour, dead.Silent, float64(soon))
		require.WithinDuration(q, q.now().Add(-time.Hour), dead.LastBeat, soon)
		dead.Silent, dead.LastBeat = 0, time.Time{}
		require.Equal(q, monitor.WorkerHealth{ID: "w2", Queues: []string{q.name}, Running: 1}, dead)
		living.LastBeat = time.Time{}
		require.Equal(q, monitor.WorkerHealth{ID: "w1", Host: "h", PID: 7, Queues: []string{q.name}, Functions: []string{"f@1"},
			Since: new(time.UnixMilli(1_764_000_000_000)), Alive: true, Running: 1}, living)
	})
}

func TestWorkerCountsAsDeadWhenItsAttemptsAreGivenAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		q.beat("w1")
		time.Sleep(store.DeadAfter)
		_, workers := q.overview()
		require.True(q, workers[0].Alive)
		time.Sleep(time.Millisecond)
		_, workers = q.overview()
		require.False(q, workers[0].Alive)
	})
}
