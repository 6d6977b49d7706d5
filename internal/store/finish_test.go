package store_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func TestCompleteKeepsTheResultForItsTTL(t *testing.T) {
	onBoth(t, func(q *queue) {
		ref, c := q.ref(), q.submission()
		c.Policy.TTL, c.Policy.FailureTTL = time.Hour, 2*time.Hour
		q.submit(ref, c)
		k := q.start(task{ref: ref, worker: "w1"})
		require.Equal(q, store.Finished{Current: true, Status: refcache.Complete}, q.finish(ref, k.token, q.Completed([]byte(`[1]`))))
		r, result, err := q.Result(q.Context(), ref, "")
		require.NoError(q, err)
		require.Equal(q, `[1]`, string(result))
		require.True(q, r.ExpiresAt().Equal(r.CompletedAt.Add(time.Hour)))
		require.InDelta(q, time.Hour, q.rdb.PTTL(q.Context(), q.record(ref)).Val(), float64(soon))
		q.sound(ref)
	})
}

func TestFailedAndCancelledTasksAreKeptForTheFailureTTL(t *testing.T) {
	onBoth(t, func(q *queue) {
		for name, end := range map[string]func(k task){
			"failed":    func(k task) { q.end(q.start(k), store.Errored(permanent())) },
			"cancelled": func(k task) { q.cancel(k) },
		} {
			c := q.submission()
			c.Policy.TTL, c.Policy.FailureTTL = time.Hour, 2*time.Hour
			k := task{ref: q.ref(), worker: "w1"}
			k.seen = q.submit(k.ref, c).Record
			end(k)
			require.InDelta(q, 2*time.Hour, q.rdb.PTTL(q.Context(), q.record(k.ref)).Val(), float64(soon), name)
			r := q.read(k.ref)
			require.True(q, r.ExpiresAt().Equal(r.CompletedAt.Add(2*time.Hour)), name)
		}
	})
}

func TestDefaultTTLsAreTheDocumentedOnes(t *testing.T) {
	onBoth(t, func(q *queue) {
		require.InDelta(q, 24*time.Hour, q.rdb.PTTL(q.Context(), q.record(q.complete().ref)).Val(), float64(soon))
		require.InDelta(q, 168*time.Hour, q.rdb.PTTL(q.Context(), q.record(q.failed().ref)).Val(), float64(soon))
	})
}

func TestRecordIsGoneAfterItsTTLAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		k := q.complete()
		time.Sleep(24*time.Hour - time.Millisecond)
		_, _, err := q.Result(t.Context(), k.ref, "inbox") // reading extends nothing
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
		_, err = q.Read(t.Context(), k.ref)
		require.ErrorIs(t, err, refcache.ErrTaskNotFound)

		running := q.processing()
		time.Sleep(1000 * 24 * time.Hour)
		require.Equal(t, refcache.Processing, q.read(running.ref).Status, "running tasks never expire")
	})
}

func TestFailedAttemptIsRetriedWhileTheBudgetLasts(t *testing.T) {
	onBoth(t, func(q *queue) {
		ref, c := q.ref(), q.submission()
		c.Policy.MaxRetries = 2
		q.submit(ref, c)
		k := task{ref: ref, worker: "w1"}
		for retry := 1; retry <= 2; retry++ {
			k = q.start(k)
			f := failure()
			f.Delay = time.Duration(retry) * 1500 * time.Millisecond
			got := q.finish(ref, k.token, store.Errored(f))
			require.Equal(q, store.Finished{Current: true, Status: refcache.Retrying, Delay: f.Delay}, got)
			r := q.read(ref)
			require.Equal(q, retry, r.RetryCount, "counted when it is scheduled")
			require.Equal(q, f.Delay, r.NextRetryAt.Sub(r.UpdatedAt), "by Redis's clock")
			require.Equal(q, "boom", r.LastError)
			require.False(q, r.CanRetry())
			require.False(q, r.Exhausted())
			q.sound(ref)
			q.due(ref, 0)
		}
		k = q.start(k)
		require.Equal(q, store.Finished{Current: true, Status: refcache.Failed}, q.finish(ref, k.token, store.Errored(failure())))
		r := q.read(ref)
		require.Equal(q, []int{2, 3}, []int{r.RetryCount, r.Attempt})
		require.Equal(q, "boom", r.Error())
		require.True(q, r.Exhausted())
		require.False(q, r.CanRetry())
		q.sound(ref)
	})
}

func TestPermanentErrorLeavesBudgetOver(t *testing.T) {
	onBoth(t, func(q *queue) {
		r := q.failed().seen
		require.Equal(q, refcache.Failed, r.Status)
		require.Zero(q, r.RetryCount)
		require.True(q, r.CanRetry())
		require.False(q, r.Exhausted())
	})
}

func TestDelaysAreRoundedUpAndMayBeVeryLong(t *testing.T) {
	onBoth(t, func(q *queue) {
		for given, want := range map[time.Duration]time.Duration{
			0: 0, 1: time.Millisecond, time.Millisecond: time.Millisecond, time.Millisecond + 1: 2 * time.Millisecond,
		} {
			k := q.processing()
			got := q.finish(k.ref, k.token, store.Errored(store.Failure{Delay: given}))
			require.Equal(q, want, got.Delay)
			r := q.read(k.ref)
			require.Equal(q, want, r.NextRetryAt.Sub(r.UpdatedAt))
		}
		k := q.processing()
		require.Equal(q, 100*365*24*time.Hour, q.finish(k.ref, k.token, store.Errored(store.Failure{Delay: math.MaxInt64})).Delay)
		require.Greater(q, q.claim(k.ref, "t2", "w1").Later, 99*365*24*time.Hour)
	})
}

func TestReleaseTakesTheAttemptBack(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.retrying(0)
		history := q.info(k.ref).RetryHistory
		k = q.start(k)
		_, err := q.Progress(q.Context(), k.ref, k.token, refcache.Progress{Current: 1})
		require.NoError(q, err)
		got := q.finish(k.ref, k.token, store.Released("no such function here", "w1"))
		require.Equal(q, store.Finished{Current: true, Status: refcache.Pending}, got)
		info := q.info(k.ref)
		require.Equal(q, []int{1, 1}, []int{info.Attempt, info.RetryCount}, "not counted, nor is the retry given back")
		require.Equal(q, "no such function here", info.Note)
		require.Equal(q, history, info.RetryHistory)
		require.Nil(q, info.StartedAt)
		require.Nil(q, info.Progress)
		require.Len(q, info.Events, 1)
		require.Equal(q, refcache.EventHandedBack, info.Events[0].Kind)
		require.Equal(q, "w1", info.Events[0].By)
		require.Equal(q, 1, q.read(k.ref).Delivery, "the same doorbell rings again")
		q.sound(k.ref)
	})
}

func TestFirstAttemptHandedBackLeavesNoTrace(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.end(q.processing(), store.Released("", "w1"))
		q.sound(k.ref)
		require.Zero(q, k.seen.Attempt)
		require.Equal(q, 1, q.start(k).seen.Attempt)
	})
}

func TestOutcomeOfAnotherTokenIsDropped(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		before := q.dump()
		for _, o := range []store.Outcome{q.Completed([]byte("1")), store.Errored(failure()), store.Errored(permanent()), store.Released("n", "w1")} {
			require.Equal(q, store.Finished{}, q.finish(k.ref, "other", o))
			require.Equal(q, before, q.dump())
		}
	})
}

func TestResentOutcomeIsAnsweredUntilTheNextAttempt(t *testing.T) {
	onBoth(t, func(q *queue) {
		f := failure()
		f.Delay = time.Hour
		for name, c := range map[string]struct {
			outcome store.Outcome
			status  refcache.Status
		}{
			"complete":  {q.Completed([]byte("1")), refcache.Complete},
			"retrying":  {store.Errored(f), refcache.Retrying},
			"failed":    {store.Errored(permanent()), refcache.Failed},
			"released":  {store.Released("", "w1"), refcache.Pending},
			"exhausted": {store.Errored(failure()), refcache.Failed},
		} {
			k := q.processing()
			if name == "exhausted" {
				q.set(k.ref, "retry_count", 3)
			}
			q.finish(k.ref, k.token, c.outcome)
			before := q.dump()
			again := q.finish(k.ref, k.token, c.outcome)
			require.True(q, again.Current, name)
			require.Equal(q, c.status, again.Status, name)
			if c.status == refcache.Retrying {
				require.InDelta(q, time.Hour, again.Delay, float64(soon))
			} else {
				require.Zero(q, again.Delay, name)
			}
			require.Equal(q, before, q.dump(), name)
			if c.status.IsFinal() {
				continue
			}

			q.due(k.ref, 0)
			q.start(k)
			before = q.dump()
			require.Equal(q, store.Finished{}, q.finish(k.ref, k.token, c.outcome), "%s: a newer attempt runs", name)
			require.Equal(q, before, q.dump(), name)
		}
	})
}

func TestOutcomeOfALostOrCancelledAttemptIsDropped(t *testing.T) {
	onBoth(t, func(q *queue) {
		lost := q.processing()
		taken, _ := q.redeliver(lost, lost.worker)
		require.True(q, taken)
		for name, k := range map[string]task{"lost": lost, "cancelled": q.cancelled(), "unknown": {ref: q.ref(), token: "t"}} {
			before := q.dump()
			require.Equal(q, store.Finished{}, q.finish(k.ref, k.token, q.Completed([]byte("1"))), name)
			require.Equal(q, before, q.dump(), name)
		}
	})
}

func TestEndedClaimOfTheSameWorkerIsTheOnlyOneRemoved(t *testing.T) {
	onBoth(t, func(q *queue) {
		k, other := q.processing(), q.processing()
		q.rdb.HSet(q.Context(), q.claims("w9"), k.ref.Hash(), "another token")
		q.end(k, q.Completed(nil))
		require.Equal(q, map[string]string{other.ref.Hash(): other.token}, q.rdb.HGetAll(q.Context(), q.claims("w1")).Val())
		require.Equal(q, "another token", q.rdb.HGet(q.Context(), q.claims("w9"), k.ref.Hash()).Val())

		// A claim under another token is somebody else's, even in the same worker.
		q.rdb.HSet(q.Context(), q.claims("w1"), other.ref.Hash(), "newer")
		q.end(other, q.Completed(nil))
		require.Equal(q, "newer", q.rdb.HGet(q.Context(), q.claims("w1"), other.ref.Hash()).Val())
	})
}
