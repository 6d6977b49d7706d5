package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// walk lists a whole status by pages of n.
func (q *queue) walk(status refcache.Status, n int) []refcache.Ref {
	q.Helper()
	var all []refcache.Ref
	var from store.Position
	for range 20 {
		page, next, err := q.Page(q.Context(), q.name, status, from, n)
		require.NoError(q, err)
		all = append(all, page...)
		if len(page) < n {
			return all
		}
		from = next
	}
	require.Fail(q, "the walk does not end")
	return nil
}

func TestPagesShowEveryTaskOnceLatestFirst(t *testing.T) {
	onBoth(t, func(q *queue) {
		const now = 1_764_000_000_000 // ms
		for _, scores := range [][]int{{}, {0}, {0, 0, 0, 0, 0, 0, 0}, {0, 1, 1, 1, 2, 3, 3}, {0, 0, 0, 1, 1, 1, 2, 2, 2}, {0, 1, 2, 3, 4, 5}} {
			q := q.another()
			var want []refcache.Ref
			for n, score := range scores {
				hash := fmt.Sprintf("%032d", n)
				q.rdb.ZAdd(q.Context(), q.index(refcache.Failed), redis.Z{Score: float64(now + score), Member: hash})
				want = append(want, refcache.Ref(q.name+":"+hash))
			}
			slices.Reverse(want)
			for n := 1; n <= len(scores)+1; n++ {
				require.Equal(q, want, q.walk(refcache.Failed, n), "%v by %d", scores, n)
			}
		}
	})
}

func TestPagesFollowTheStatusOfATask(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		require.Equal(q, []refcache.Ref{k.ref}, q.walk(refcache.Pending, 10))
		k = q.start(k)
		require.Empty(q, q.walk(refcache.Pending, 10))
		k = q.end(k, store.Errored(failure()))
		require.Equal(q, []refcache.Ref{k.ref}, q.walk(refcache.Retrying, 10))
		q.end(q.start(k), q.Completed(nil))
		require.Empty(q, q.walk(refcache.Retrying, 10))
		require.Equal(q, []refcache.Ref{k.ref}, q.walk(refcache.Complete, 10))
		require.Equal(q, []refcache.Ref{q.failed().ref}, q.walk(refcache.Failed, 10))
		require.Equal(q, []refcache.Ref{q.cancelled().ref}, q.walk(refcache.Cancelled, 10))
	})
}

func TestTaskAddedBetweenPagesHidesNoOther(t *testing.T) {
	onBoth(t, func(q *queue) {
		for n := range 4 {
			q.score("failed", fmt.Sprintf("%032d", n), time.UnixMilli(int64(n)))
		}
		first, next, err := q.Page(q.Context(), q.name, refcache.Failed, store.Position{}, 2)
		require.NoError(q, err)
		q.failed()
		second, _, err := q.Page(q.Context(), q.name, refcache.Failed, next, 2)
		require.NoError(q, err)
		var seen []string
		for _, ref := range append(first, second...) {
			seen = append(seen, ref.Hash()[31:])
		}
		require.Equal(q, []string{"3", "2", "1", "0"}, seen)
	})
}

func TestRunningTasksAreTheClaimsOfAllWorkers(t *testing.T) {
	onBoth(t, func(q *queue) {
		require.Empty(q, second(q.Running(q.Context(), q.name)))
		a, b := q.processing(), q.start(task{ref: q.pending().ref, worker: "w2"})
		q.complete()
		running, err := q.Running(q.Context(), q.name)
		require.NoError(q, err)
		require.ElementsMatch(q, []refcache.Ref{a.ref, b.ref}, running)
	})
}

func TestTasksAreReadInOneGoWithoutThoseThatAreGone(t *testing.T) {
	onBoth(t, func(q *queue) {
		a, b := q.pending(), q.complete()
		records, err := q.ReadAll(q.Context(), []refcache.Ref{a.ref, q.ref(), b.ref})
		require.NoError(q, err)
		require.Len(q, records, 2)
		for i, k := range []task{a, b} {
			want := q.read(k.ref)
			require.WithinDuration(q, want.ReadAt, records[i].ReadAt, soon)
			want.ReadAt = records[i].ReadAt
			require.Equal(q, want, records[i])
		}
		records, err = q.ReadAll(q.Context(), nil)
		require.NoError(q, err)
		require.Empty(q, records)

		q.set(a.ref, "cycle", "x")
		_, err = q.ReadAll(q.Context(), []refcache.Ref{b.ref, a.ref})
		require.ErrorContains(q, err, "record of "+string(a.ref)+" is damaged")
	})
}
