package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// walk lists a whole status by pages of n.
func (q *queue) walk(status refcache.Status, n int) []refcache.Ref {
	q.Helper()
	return refs(q.entries(status, n))
}

func (q *queue) entries(status refcache.Status, n int) []store.Entry {
	q.Helper()
	var all []store.Entry
	var from store.Position
	for range 200 {
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

// completed are the complete tasks that a reader finds who goes by pages of n, and those of which one cannot tell.
func (q *queue) completed(n int) []refcache.Ref {
	q.Helper()
	found, err := q.ReadAll(q.Context(), q.entries(refcache.Complete, n))
	require.NoError(q, err)
	var refs []refcache.Ref
	for _, f := range found {
		if f.Status == refcache.Complete || f.Status == "" {
			refs = append(refs, f.Ref)
		}
	}
	return refs
}

func refs(entries []store.Entry) []refcache.Ref {
	var refs []refcache.Ref
	for _, e := range entries {
		refs = append(refs, e.Ref)
	}
	return refs
}

func TestPagesShowEveryTaskOnceLatestFirst(t *testing.T) {
	onBoth(t, func(q *queue) {
		const now = 1_764_000_000_000 // ms
		for _, scores := range [][]int{{}, {0}, {0, 0, 0, 0, 0, 0, 0}, {0, 1, 1, 1, 2, 3, 3}, {0, 0, 0, 1, 1, 1, 2, 2, 2}, {0, 1, 2, 3, 4, 5}} {
			q := q.another()
			var want []refcache.Ref
			for n, score := range scores {
				hash := fmt.Sprintf("%032d", n)
				q.score("failed", hash, time.UnixMilli(now+int64(score)))
				q.completion(hash, time.UnixMilli(now+int64(score)))
				want = append(want, refcache.Ref(q.name+":"+hash))
			}
			slices.Reverse(want)
			for n := 1; n <= len(scores)+1; n++ {
				require.Equal(q, want, q.walk(refcache.Failed, n), "%v by %d", scores, n)
				require.Equal(q, want, q.walk(refcache.Complete, n), "%v by %d", scores, n)
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

func TestListedCountsWhatAWalkWouldMeet(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.pending()
		q.processing()
		q.processing()
		old := q.failed()
		q.score("failed", old.ref.Hash(), q.now().Add(-2*time.Hour))
		q.failed()
		for n := range 5 {
			q.completion(fmt.Sprintf("%032d", n), q.now().Add(-2*time.Hour))
		}
		q.complete()
		for status, want := range map[refcache.Status]int{refcache.Pending: 1, refcache.Processing: 2, refcache.Failed: 2, refcache.Complete: 6, refcache.Cancelled: 0} {
			n, err := q.Listed(q.Context(), q.name, status, time.Time{})
			require.NoError(q, err)
			require.Equal(q, want, n, status)
		}
		for _, status := range []refcache.Status{refcache.Failed, refcache.Complete} {
			n, err := q.Listed(q.Context(), q.name, status, q.now().Add(-time.Hour))
			require.NoError(q, err)
			require.Equal(q, 1, n, "%s ones of the last hour", status)
		}
	})
}

func TestTaskAddedBetweenPagesHidesNoOther(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, status := range []refcache.Status{refcache.Failed, refcache.Complete} {
			q := q.another()
			for n := range 4 {
				q.score("failed", fmt.Sprintf("%032d", n), time.UnixMilli(int64(n)))
				q.completion(fmt.Sprintf("%032d", n), time.UnixMilli(7)) // all at the same time
			}
			first, next, err := q.Page(q.Context(), q.name, status, store.Position{}, 2)
			require.NoError(q, err)
			q.failed()
			q.complete()
			q.completion(fmt.Sprintf("%032d", 9), time.UnixMilli(7))
			second, _, err := q.Page(q.Context(), q.name, status, next, 2)
			require.NoError(q, err)
			var seen []string
			for _, e := range append(first, second...) {
				seen = append(seen, e.Ref.Hash()[31:])
			}
			require.Equal(q, []string{"3", "2", "1", "0"}, seen, status)
		}
	})
}

// Whoever retries or deletes what a walk shows takes it out of the set that is walked.
func TestTasksThatLeaveBetweenPagesHideNoOther(t *testing.T) {
	onBoth(t, func(q *queue) {
		at := time.UnixMilli(1_764_000_000_000)
		var want []refcache.Ref
		for n := range 25 { // most of them ended in the same millisecond
			hash := fmt.Sprintf("%02x%030d", 7*n%25, n)
			q.score("failed", hash, at.Add(time.Duration(n/20)*time.Millisecond))
			want = append(want, refcache.Ref(q.name+":"+hash))
		}
		var seen []refcache.Ref
		var from store.Position
		for range 7 {
			page, next, err := q.Page(q.Context(), q.name, refcache.Failed, from, 4)
			require.NoError(q, err)
			for i, e := range page {
				if i != 1 { // one stays
					q.rdb.ZRem(q.Context(), q.index(refcache.Failed), e.Ref.Hash())
				}
			}
			q.score("failed", fmt.Sprintf("f%031d", len(seen)), at.Add(time.Millisecond)) // another joins, later than all
			seen, from = append(seen, refs(page)...), next
		}
		require.ElementsMatch(q, want, seen)
	})
}

// seconds is that many seconds after a time of old.
func seconds(n int) time.Time { return time.UnixMilli(1_764_000_000_000 + int64(n)*1000) }

func TestAWalkMayBeginBelowATimeOrATask(t *testing.T) {
	onBoth(t, func(q *queue) {
		hash := func(n int) string { return fmt.Sprintf("%032d", n) }
		for n := range 9 { // three at a time
			q.score("failed", hash(n), seconds(n/3))
			q.completion(hash(n), seconds(n/3))
		}
		for _, status := range []refcache.Status{refcache.Failed, refcache.Complete} {
			below := func(n int, last string) string {
				page, _, err := q.Page(q.Context(), q.name, status, store.Below(seconds(n), refcache.Ref(q.name+":"+last)), 10)
				require.NoError(q, err)
				var seen strings.Builder
				for _, ref := range refs(page) {
					seen.WriteString(ref.Hash()[31:])
				}
				return seen.String()
			}
			require.Equal(q, "876543210", below(3, ""), status)
			require.Equal(q, "543210", below(2, ""), status)
			require.Empty(q, below(0, ""), status)
			require.Equal(q, "6543210", below(2, hash(7)), status)
			require.Equal(q, "3210", below(1, hash(4)), status)
			require.Empty(q, below(0, hash(0)), status)
			require.Equal(q, "543210", below(2, hash(0)), "%s: it was another at that time", status)
		}
	})
}

func TestATaskThatIsCompleteAgainIsListedOnceAndAtItsNewPlace(t *testing.T) {
	refresh := func(q *queue, k task) task {
		c := q.submission()
		c.Refresh = true
		require.True(q, q.submit(k.ref, c).Starts)
		require.NotContains(q, q.completed(1), k.ref)
		return q.end(q.start(k), q.Completed([]byte("2")))
	}
	test := func(q *queue, pass func()) {
		a := q.complete()
		pass()
		b := q.complete()
		pass()
		a = refresh(q, a)
		c := q.complete()
		pass()
		refresh(q, b)
		for n := 1; n < 5; n++ {
			require.Equal(q, []refcache.Ref{b.ref, c.ref, a.ref}, q.completed(n), "by %d", n)
		}
		found, err := q.ReadAll(q.Context(), q.entries(refcache.Complete, 10))
		require.NoError(q, err)
		require.Equal(q, a.seen.CompletedAt, found[2].At)
	}
	onBoth(t, func(q *queue) { test(q, func() {}) }) // in a bubble all of it is in one millisecond
	t.Run("as time passes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			q, _ := bubble(t)
			test(q, func() { time.Sleep(time.Second) })
		})
	})
}

// What cannot be read is listed as well as it can be.
func TestADamagedTaskThatIsCompleteAgainIsListedOnce(t *testing.T) {
	onBoth(t, func(q *queue) {
		k, other := q.complete(), q.complete()
		q.completion(k.ref.Hash(), k.seen.CompletedAt.Add(time.Second)) // an end that is not the last
		q.set(k.ref, "cycle", "x")
		require.Equal(q, []refcache.Ref{other.ref, k.ref}, q.completed(10))
	})
}

func TestWhatIsNoLongerCompleteIsNotListed(t *testing.T) {
	onBoth(t, func(q *queue) {
		deleted, expired, failed, kept := q.complete(), q.complete(), q.complete(), q.complete()
		gone, err := q.Delete(q.Context(), deleted.seen)
		require.NoError(q, err)
		require.True(q, gone)
		require.NoError(q, q.rdb.Del(q.Context(), q.record(expired.ref)).Err()) // as its expiry does
		c := q.submission()
		c.Refresh = true
		q.submit(failed.ref, c)
		q.end(q.start(failed), store.Errored(permanent()))
		require.Equal(q, []refcache.Ref{failed.ref, kept.ref}, q.completed(1), "its refresh failed, its result stays")
		gone, err = q.Delete(q.Context(), q.read(failed.ref))
		require.NoError(q, err)
		require.True(q, gone)

		q.submit(deleted.ref, q.submission())
		q.end(q.start(deleted), q.Completed([]byte("2")))
		require.Equal(q, []refcache.Ref{deleted.ref, kept.ref}, q.completed(1), "another life")
	})
}

// A clock that was set back is no reason to hide or repeat what a walk goes through from its start.
func TestAWalkGoesThroughWhatEndedWhileTheClockWasSetBack(t *testing.T) {
	onBoth(t, func(q *queue) {
		var want []refcache.Ref
		for n, at := range []int{1, 2, 3, 4, 2, 3, 3, 5, 4, 6} {
			q.completion(fmt.Sprintf("%032d", n), seconds(at))
			want = append(want, refcache.Ref(fmt.Sprintf("%s:%032d", q.name, n)))
		}
		slices.Reverse(want)
		for n := 1; n < 12; n++ {
			require.Equal(q, want, q.walk(refcache.Complete, n), "by %d", n)
		}
		q.completion(fmt.Sprintf("%032d", 9), seconds(6)) // the same once more, as if at the same time
		q.completion(fmt.Sprintf("%032d", 9), seconds(6))
		require.Equal(q, want, q.walk(refcache.Complete, 1), "it gets on")
	})
}

func TestEntriesTellTheTimeThatTheListGoesBy(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.failed()
		page, _, err := q.Page(q.Context(), q.name, refcache.Failed, store.Position{}, 10)
		require.NoError(q, err)
		require.Equal(q, []store.Entry{{Ref: k.ref, At: k.seen.CompletedAt}}, page)
		found, err := q.ReadAll(q.Context(), page)
		require.NoError(q, err)
		require.Equal(q, k.seen.CompletedAt, found[0].At)

		k = q.processing()
		running, err := q.Running(q.Context(), q.name)
		require.NoError(q, err)
		require.Zero(q, running[0].At)
		found, err = q.ReadAll(q.Context(), running)
		require.NoError(q, err)
		require.Equal(q, k.seen.StartedAt, found[0].At)
	})
}

func TestRunningTasksAreTheClaimsOfAllWorkers(t *testing.T) {
	onBoth(t, func(q *queue) {
		require.Empty(q, second(q.Running(q.Context(), q.name)))
		a, b := q.processing(), q.start(task{ref: q.pending().ref, worker: "w2"})
		q.complete()
		running, err := q.Running(q.Context(), q.name)
		require.NoError(q, err)
		require.ElementsMatch(q, []refcache.Ref{a.ref, b.ref}, refs(running))
	})
}

func entries(refs ...refcache.Ref) []store.Entry {
	var all []store.Entry
	for _, ref := range refs {
		all = append(all, store.Entry{Ref: ref})
	}
	return all
}

func TestTasksAreReadInOneGoWithoutThoseThatAreGone(t *testing.T) {
	onBoth(t, func(q *queue) {
		a, b := q.pending(), q.complete()
		found, err := q.ReadAll(q.Context(), entries(a.ref, q.ref(), b.ref))
		require.NoError(q, err)
		require.Len(q, found, 2)
		for i, k := range []task{a, b} {
			want := q.read(k.ref)
			require.WithinDuration(q, want.ReadAt, found[i].ReadAt, soon)
			want.ReadAt = found[i].ReadAt
			require.Equal(q, want, found[i].Record)
			require.NoError(q, found[i].Err)
		}
		found, err = q.ReadAll(q.Context(), nil)
		require.NoError(q, err)
		require.Empty(q, found)
	})
}

func TestTaskThatCannotBeReadKeepsNoOtherFromIt(t *testing.T) {
	onBoth(t, func(q *queue) {
		good, damaged, newer, lost, noHash := q.complete(), q.failed(), q.cancelled(), q.failed(), q.failed()
		q.set(damaged.ref, "cycle", "x")
		q.set(newer.ref, "v", store.RecordVersion+1, "func", "g")
		q.set(lost.ref, "status", "over")
		require.NoError(q, q.rdb.Set(q.Context(), q.record(noHash.ref), "no hash", 0).Err())
		found, err := q.ReadAll(q.Context(), entries(damaged.ref, newer.ref, lost.ref, noHash.ref, good.ref))
		require.NoError(q, err)
		require.Len(q, found, 5)
		for i, want := range []struct {
			record store.Record
			err    string
		}{
			{store.Record{Ref: damaged.ref, Status: refcache.Failed, LastError: "hopeless", Namespace: refcache.DefaultNamespace, Policy: refcache.Policy{Name: "f"}}, `damaged: cycle is "x"`},
			{store.Record{Ref: newer.ref, Status: refcache.Cancelled, Namespace: refcache.DefaultNamespace, Policy: refcache.Policy{Name: "g"}}, "newer refq"},
			{store.Record{Ref: lost.ref, LastError: "hopeless", Namespace: refcache.DefaultNamespace, Policy: refcache.Policy{Name: "f"}}, `status is "over"`},
			{store.Record{Ref: noHash.ref}, "its key holds no hash"},
		} {
			require.ErrorIs(q, found[i].Err, refcache.ErrUnreadable)
			require.ErrorContains(q, found[i].Err, "record of "+string(want.record.Ref))
			require.ErrorContains(q, found[i].Err, want.err)
			require.Equal(q, want.record, found[i].Record)
		}
		require.NoError(q, found[4].Err)
		require.Equal(q, good.seen.CompletedAt, found[4].CompletedAt)
	})
}

func TestKeyOfAnotherTypeIsNamedByWhoeverWalksTheQueue(t *testing.T) {
	onBoth(t, func(q *queue) {
		for status, key := range map[refcache.Status]string{refcache.Failed: "failed", refcache.Complete: "completions"} {
			q := q.another()
			foreign := fmt.Sprintf(" queue %[1]s: one of the keys refq:{%[1]s}:* is not refq's: ", q.name)
			require.NoError(q, q.rdb.Set(q.Context(), q.key(key), "x", 0).Err())
			_, _, err := q.Page(q.Context(), q.name, status, store.Position{}, 10)
			require.ErrorContains(q, err, fmt.Sprintf("list %s tasks of", status)+foreign)
			_, err = q.Listed(q.Context(), q.name, status, time.Time{})
			require.ErrorContains(q, err, fmt.Sprintf("count %s tasks of", status)+foreign)
			_, err = q.Sweep(q.Context(), q.name, 10, false, "bell:", "w")
			require.ErrorContains(q, err, "sweep"+foreign)
		}
	})
}
