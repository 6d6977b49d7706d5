package store_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// sweep sweeps as if the last one had been a second ago, and sweeping had gone on for long.
func (q *queue) sweep(batch int) store.Swept {
	q.Helper()
	require.NoError(q, q.rdb.HSet(q.Context(), q.key("sweep"), "tick", q.ago(time.Second), "resumed", q.ago(time.Hour)).Err())
	found, err := q.Sweep(q.Context(), q.name, batch, false, "bell:", "w")
	require.NoError(q, err)
	require.True(q, found.Mine)
	return found
}

// waiting are the tasks that a sweep has found waiting for too long.
func waiting(found store.Swept) (refs []refcache.Ref) {
	for _, task := range found.Silent {
		refs = append(refs, task.Ref)
	}
	return refs
}

// old makes a pending task look as if it had waited for d.
func (q *queue) old(k task, d time.Duration) task {
	q.Helper()
	if q.hash(k.ref)["updated_at"] != "" {
		q.set(k.ref, "updated_at", q.ago(d))
		return k
	}
	q.set(k.ref, "created_at", q.ago(d))
	q.score("pending", k.ref.Hash(), q.now().Add(-d))
	return k
}

func TestOneSweeperASecondLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		looks := 0
		for range 100 { // three sweepers and more, for ten seconds
			found, err := q.Sweep(t.Context(), q.name, 10, false, "bell:", "w")
			require.NoError(t, err)
			if found.Mine {
				looks++
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.InDelta(t, 10, looks, 2)
	})
}

func TestSweepFindsTheClaimsOfDeadWorkers(t *testing.T) {
	onBoth(t, func(q *queue) {
		mine := q.processing()
		alive := q.start(task{ref: q.pending().ref, worker: "alive"})
		q.beat("alive", alive.claim())
		q.keepAlive("alive")
		q.keepAlive("w1")
		q.silence("idle", time.Hour)
		require.Empty(q, q.sweep(10).Orphans, "w1 lives")

		q.silence("w1", store.DeadAfter+time.Second)
		found := q.sweep(10)
		require.Equal(q, []store.Orphan{{Worker: "w1", Claim: mine.claim()}}, found.Orphans)
		require.Equal(q, []string{"idle"}, found.Idle)
	})
}

func TestSweepBoundsWhatItTakesFromADeadWorker(t *testing.T) {
	onBoth(t, func(q *queue) {
		for range 5 {
			q.processing()
		}
		q.silence("w1", time.Hour)
		left := 5
		for left > 0 {
			found := q.sweep(2)
			require.Len(q, found.Orphans, min(2, left))
			for _, o := range found.Orphans {
				taken, _, err := q.Redeliver(q.Context(), o.Claim, o.Worker, "w2")
				require.NoError(q, err)
				require.True(q, taken)
				left--
			}
		}
		require.Equal(q, []string{"w1"}, q.sweep(2).Idle)
	})
}

func TestNobodyIsDeadWhileSweepingHasJustResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		sweep := func() store.Swept {
			found, err := q.Sweep(t.Context(), q.name, 10, false, "bell:", "w")
			require.NoError(t, err)
			return found
		}
		for range 10 {
			sweep()
			time.Sleep(time.Second)
		}
		k := q.processing()
		time.Sleep(10 * time.Second) // an outage: nobody beats, nobody sweeps
		for range 6 {
			require.Empty(t, sweep().Orphans, "it may come back")
			time.Sleep(time.Second)
		}
		require.Equal(t, []store.Orphan{{Worker: "w1", Claim: k.claim()}}, sweep().Orphans)
	})
}

func TestFirstSweepDeclaresNobodyDead(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.processing()
		q.silence("w1", time.Hour)
		found, err := q.Sweep(q.Context(), q.name, 10, false, "bell:", "w")
		require.NoError(q, err)
		require.True(q, found.Mine)
		require.Empty(q, found.Orphans)
	})
}

func TestClockThatGoesBackStopsNoSweep(t *testing.T) {
	onBoth(t, func(q *queue) {
		require.NoError(q, q.rdb.HSet(q.Context(), q.key("sweep"), "tick", q.ago(-time.Hour), "resumed", q.ago(-time.Hour)).Err())
		found, err := q.Sweep(q.Context(), q.name, 10, false, "bell:", "w")
		require.NoError(q, err)
		require.True(q, found.Mine)
		require.Equal(q, q.rdb.HGet(q.Context(), q.key("sweep"), "tick").Val(), q.rdb.HGet(q.Context(), q.key("sweep"), "resumed").Val())
	})
}

func TestSweepNamesTasksThatHaveWaitedForTooLong(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.old(q.pending(), -soon) // however slow the machine is
		q.old(q.end(q.processing(), store.Released("", "w1")), -soon)
		q.retrying(time.Hour)
		q.processing()
		q.complete()
		require.Empty(q, waiting(q.sweep(100)))

		overdue := q.retrying(0)
		q.due(overdue.ref, 3*time.Second)
		want := []refcache.Ref{
			q.old(q.pending(), 6*time.Second).ref,
			q.old(q.end(q.processing(), store.Released("", "w1")), 6*time.Second).ref,
			overdue.ref,
		}
		require.ElementsMatch(q, want, waiting(q.sweep(100)))
	})
}

func TestSweepTellsWhatDoorbellToLookForAndSinceWhen(t *testing.T) {
	onBoth(t, func(q *queue) {
		fresh := q.old(q.pending(), time.Minute)
		overdue := q.retrying(0)
		q.due(overdue.ref, 3*time.Second)
		_, err := q.NewDelivery(q.Context(), overdue.ref, 1)
		require.NoError(q, err)
		again := q.old(q.end(q.processing(), store.Released("", "w1")), time.Minute)
		require.ElementsMatch(q, []store.Waiting{
			{Ref: fresh.ref, Delivery: 1, Ready: q.read(fresh.ref).CreatedAt},
			{Ref: again.ref, Delivery: 1, Ready: q.read(again.ref).UpdatedAt},
			{Ref: overdue.ref, Delivery: 2, Ready: q.read(overdue.ref).NextRetryAt},
		}, q.sweep(10).Silent)
	})
}

// Where much is to be mended the sweeper does not wait for the next second, but others do.
func TestWhoSweepsMayGoOnAtOnce(t *testing.T) {
	onBoth(t, func(q *queue) {
		for range 5 {
			q.old(q.pending(), time.Minute)
		}
		first := q.sweep(3)
		require.Len(q, first.Silent, 3)
		require.True(q, first.More)
		other, err := q.Sweep(q.Context(), q.name, 3, false, "bell:", "w")
		require.NoError(q, err)
		require.False(q, other.Mine)
		second, err := q.Sweep(q.Context(), q.name, 3, true, "bell:", "w")
		require.NoError(q, err)
		require.True(q, second.Mine)
		require.False(q, second.More)
		require.Len(q, append(waiting(first), waiting(second)...), 5)
		require.NotSubset(q, waiting(first), waiting(second))
	})
}

func TestDoorbellsHaveTheirTimeToRing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		waits, retries := q.pending(), q.retrying(3*time.Second)
		time.Sleep(4999 * time.Millisecond)
		require.Empty(t, waiting(q.sweep(10)))
		time.Sleep(time.Millisecond)
		require.Equal(t, []refcache.Ref{retries.ref}, waiting(q.sweep(10)), "overdue by two seconds")
		time.Sleep(time.Millisecond)
		require.ElementsMatch(t, []refcache.Ref{waits.ref, retries.ref}, waiting(q.sweep(10)), "pending for more than five")
	})
}

// The queue's order is by creation, but what counts is how long a task has been ready.
func TestOldTaskThatHasJustBecomePendingIsNotSilent(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.failed()
		q.set(k.ref, "created_at", q.ago(time.Hour))
		q.retry(q.read(k.ref), "r1", true)
		q.old(k, -soon)
		require.Empty(q, waiting(q.sweep(10)))
	})
}

func TestNoHealthyHeadHidesALostTask(t *testing.T) {
	onBoth(t, func(q *queue) {
		for range 25 {
			q.old(q.pending(), time.Second) // older by creation than the lost ones, which are all that is wrong
		}
		for n := range 25 {
			k := q.retrying(0)
			q.due(k.ref, time.Duration(100-n)*time.Second) // overdue, too, but looked at before
		}
		pending, retrying := q.pending(), q.retrying(0)
		q.set(pending.ref, "created_at", q.ago(time.Minute)) // the last in the set, by its score
		q.due(retrying.ref, 3*time.Second)

		var found []refcache.Ref
		for range 4 {
			silent := waiting(q.sweep(10))
			require.LessOrEqual(q, len(silent), 20)
			found = append(found, silent...)
		}
		require.Contains(q, found, pending.ref)
		require.Contains(q, found, retrying.ref)

		found = nil
		for range 4 { // and again: the walk begins anew
			found = append(found, waiting(q.sweep(10))...)
		}
		require.Contains(q, found, pending.ref)
		require.Contains(q, found, retrying.ref)
	})
}

// A backlog may grow faster than it is walked for hours.
func TestGrowingTailDoesNotHideALostHead(t *testing.T) {
	onBoth(t, func(q *queue) {
		lost := q.old(q.pending(), time.Minute)
		seen := 0
		for range 8 {
			for range 6 {
				q.pending()
			}
			if slices.Contains(waiting(q.sweep(5)), lost.ref) {
				seen++
			}
		}
		require.Greater(q, seen, 1, "looked at once, and then never again")
	})
}

func TestSweepTrimsWhatIsNoLongerThere(t *testing.T) {
	onBoth(t, func(q *queue) {
		sets := []refcache.Status{refcache.Pending, refcache.Retrying, refcache.Failed, refcache.Cancelled}
		for _, status := range sets {
			for n := range 7 {
				q.score(string(status), fmt.Sprintf("%032d", n), time.UnixMilli(int64(n))) // no record
			}
		}
		keep := q.failed().ref.Hash()
		for range 10 {
			q.sweep(3)
		}
		for _, status := range sets {
			for _, left := range q.rdb.ZRange(q.Context(), q.index(status), 0, -1).Val() {
				require.Equal(q, keep, left, "in %s", status)
			}
		}
		require.EqualValues(q, 1, q.rdb.ZCard(q.Context(), q.index(refcache.Failed)).Val())
	})
}

func TestSweepTakesOutCompletionsThatSayNothingAnyMore(t *testing.T) {
	onBoth(t, func(q *queue) {
		long := q.complete() // the first, and so at the end of the list, where the walk begins
		for n := range 7 {
			q.completion(fmt.Sprintf("%032d", n), q.now()) // no record
		}
		damaged, again, expired := q.complete(), q.complete(), q.complete()
		q.completion(again.ref.Hash(), q.now().Add(-time.Minute)) // an end before its last
		require.NoError(q, q.rdb.HSet(q.Context(), q.record(damaged.ref), "state", "?").Err())
		require.NoError(q, q.rdb.Del(q.Context(), q.record(expired.ref)).Err())
		for range 10 {
			q.sweep(3)
		}
		var left []string
		for _, entry := range q.rdb.LRange(q.Context(), q.key("completions"), 0, -1).Val() {
			left = append(left, entry[len(entry)-32:])
		}
		require.Equal(q, []string{again.ref.Hash(), damaged.ref.Hash(), long.ref.Hash()}, left)
	})
}

// A call made again after its record expired is found under its new status only.
func TestSweepTrimsEntriesOfAnEarlierLife(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.failed()
		require.NoError(q, q.rdb.Del(q.Context(), q.record(k.ref)).Err()) // as its expiry does
		q.submit(k.ref, q.submission())
		q.sweep(10)
		q.sound(k.ref)
	})
}

func TestKeyThatIsNoRecordStopsNoSweep(t *testing.T) {
	onBoth(t, func(q *queue) {
		text, bare := q.ref(), q.ref()
		require.NoError(q, q.rdb.Set(q.Context(), q.record(text), "no hash", 0).Err())
		q.set(bare, "status", "pending")
		for _, status := range []string{"pending", "retrying", "cancelled"} {
			q.score(status, text.Hash(), time.UnixMilli(1))
		}
		q.score("pending", bare.Hash(), time.UnixMilli(2))
		lost := q.old(q.pending(), time.Minute)
		require.Equal(q, []refcache.Ref{bare, lost.ref}, waiting(q.sweep(10)))
	})
}

// What is listed is what a person can look after.
func TestSweepLeavesDamagedFailuresListed(t *testing.T) {
	onBoth(t, func(q *queue) {
		number, status, noHash := q.failed(), q.failed(), q.failed()
		q.set(number.ref, "cycle", "x")
		q.set(status.ref, "status", "over")
		require.NoError(q, q.rdb.Set(q.Context(), q.record(noHash.ref), "no hash", 0).Err())
		require.Empty(q, q.sweep(10).Silent)
		require.ElementsMatch(q, []refcache.Ref{number.ref, status.ref, noHash.ref}, q.walk(refcache.Failed, 10))
	})
}
