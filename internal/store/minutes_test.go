package store_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// happened is something of everything that a minute counts.
func happened(function string) monitor.FunctionStats {
	f := monitor.FunctionStats{Func: function,
		CallCounts: monitor.CallCounts{Misses: 1, Joined: 2, Hits: 3, Complete: 4, Failed: 5, Cancelled: 6,
			Stale: 7, Refreshes: 8, RefreshesFailed: 9, Saved: time.Hour}}
	for i := range f.Durations.Buckets {
		f.Durations.Buckets[i] = int64(i)
	}
	return f
}

func TestWhatHappenedIsCountedInTheMinuteThatRuns(t *testing.T) {
	onBoth(t, func(q *queue) {
		f, g := happened("f"), happened("media/g.2")
		require.NoError(q, q.CountMinute(q.Context(), q.name, []monitor.FunctionStats{f, g}))
		require.NoError(q, q.CountMinute(q.Context(), q.name, []monitor.FunctionStats{f}))
		other := q.another()
		require.NoError(q, other.CountMinute(q.Context(), other.name, []monitor.FunctionStats{f}))

		stats, err := q.Minutes(q.Context(), []string{q.name}, 60)
		require.NoError(q, err)
		f.Queue, g.Queue = q.name, q.name
		twice := f
		twice.CallCounts.Add(f.CallCounts)
		twice.Durations.Add(f.Durations)
		require.Equal(q, []monitor.FunctionStats{twice, g}, stats.Functions)
		require.Len(q, stats.Minutes, 60)
		all := monitor.CallCounts{}
		for _, m := range stats.Minutes {
			all.Add(m.CallCounts)
		}
		want := twice.CallCounts
		want.Add(g.CallCounts)
		require.Equal(q, want, all)
		require.WithinDuration(q, q.now(), stats.Minutes[59].Start, 2*time.Minute)

		stats, err = q.Minutes(q.Context(), []string{other.name, q.name}, 60)
		require.NoError(q, err)
		require.Len(q, stats.Functions, 3)
	})
}

func TestMinutesPassAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		begin := q.now().Truncate(time.Minute)
		for range 3 {
			require.NoError(q, q.CountMinute(q.Context(), q.name, []monitor.FunctionStats{{Func: "f", CallCounts: monitor.CallCounts{Misses: 1}}}))
			time.Sleep(time.Minute)
		}
		stats, err := q.Minutes(q.Context(), []string{q.name}, 5)
		require.NoError(q, err)
		var made []int64
		for _, m := range stats.Minutes {
			made = append(made, m.Misses)
		}
		require.Equal(q, []int64{0, 1, 1, 1, 0}, made)
		require.True(q, begin.Equal(stats.Minutes[1].Start))

		time.Sleep(2 * time.Hour)
		require.Empty(q, q.dump(), "nothing stays")
	})
}

func TestMinutesAreBounded(t *testing.T) {
	onBoth(t, func(q *queue) {
		for batch := range 22 {
			var many []monitor.FunctionStats
			for n := range 100 {
				many = append(many, monitor.FunctionStats{Func: fmt.Sprintf("f%d", 100*batch+n), CallCounts: monitor.CallCounts{Misses: 1}})
			}
			require.NoError(q, q.CountMinute(q.Context(), q.name, many))
		}
		stats, err := q.Minutes(q.Context(), []string{q.name}, 2)
		require.NoError(q, err)
		var all, other int64
		for _, f := range stats.Functions {
			all += f.Misses
			if f.Func == "other" {
				other = f.Misses
			}
		}
		require.EqualValues(q, 2200, all, "everything is counted")
		if stats.Minutes[0].Misses == 0 { // else a minute has passed in between
			require.EqualValues(q, 200, other)
			require.Len(q, stats.Functions, 2001)
		}
	})
}

func TestSizesCountWhatIsInAQueue(t *testing.T) {
	onBoth(t, func(q *queue) {
		sizes := func() store.Sizes {
			before := q.dump()
			sizes, err := q.Sizes(q.Context(), q.name)
			require.NoError(q, err)
			require.Equal(q, before, q.dump(), "looking changes nothing")
			return sizes
		}
		none := map[refcache.Status]int64{refcache.Waiting: 0, refcache.Pending: 0, refcache.Processing: 0, refcache.Retrying: 0, refcache.Failed: 0, refcache.Cancelled: 0}
		require.Equal(q, store.Sizes{Tasks: none}, sizes())

		q.pending()
		q.processing()
		q.processing()
		q.retrying(time.Hour)
		q.complete()
		q.inLine("closed", "k")
		again := q.pending()
		q.set(again.ref, "created_at", q.ago(100*time.Hour), "updated_at", q.ago(time.Hour))
		q.keepAlive("w1")
		got := sizes()
		require.InDelta(q, time.Hour, got.OldestPending, float64(soon), "it waits since it was queued again")
		require.Equal(q, map[refcache.Status]int64{refcache.Waiting: 1, refcache.Pending: 2, refcache.Processing: 2, refcache.Retrying: 1,
			refcache.Failed: 0, refcache.Cancelled: 0}, got.Tasks)
		require.EqualValues(q, 1, got.Workers)

		q.silence("w1", time.Minute)
		require.Zero(q, sizes().Workers, "the dead are not counted")
		require.EqualValues(q, 2, sizes().Tasks[refcache.Processing], "what they claimed is")

		require.NoError(q, q.rdb.Set(q.Context(), q.record(again.ref), "no hash", 0).Err())
		require.Less(q, sizes().OldestPending, soon, "what cannot be read hides nothing")
	})
}
