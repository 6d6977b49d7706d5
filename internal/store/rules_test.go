package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Each test here is the shortest sequence that goes wrong without the rule of that number in docs/protocol.md.

// asynq lost the acknowledgement of a doorbell and rings it again: the task must not run again, nor come to be.
func TestR1DoorbellOfATaskThatIsOverRunsNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, k := range []task{q.complete(), q.failed(), q.cancelled(), {ref: q.ref()}} {
			before := q.dump()
			require.Equal(q, store.ClaimAnswer{}, q.claim(k.ref, "again", "w2"))
			require.Equal(q, before, q.dump())
		}
	})
}

// The reply of a claim is lost for good: the worker lives, so no sweep takes the attempt from it. Its own beat must
// tell it, and only it may give the attempt back.
func TestR2ClaimThatNobodyHeardOfIsFoundByTheBeat(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing() // but the worker never saw the answer
		beaten, err := q.Heartbeat(q.Context(), q.name, store.Beat{Worker: "w1"})
		require.NoError(q, err)
		require.Equal(q, []store.Claim{k.claim()}, beaten.Unknown)
		taken, _ := q.redeliver(k, "w2")
		require.False(q, taken)
		taken, _ = q.redeliver(k, "w1")
		require.True(q, taken)
		require.True(q, q.claim(k.ref, "t2", "w1").Run)
	})
}

// A worker claims before its first beat: it must not look dead to others, and if it dies at once it must be missed.
func TestR5ClaimIsABeat(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		taken, _ := q.redeliver(k, "w2")
		require.False(q, taken, "it has just claimed")

		q.silence("w1", time.Minute) // the same claim, a minute later
		require.Equal(q, []store.Orphan{{Worker: "w1", Claim: k.claim()}}, q.sweep(10).Orphans)
	})
}

// A dead worker still holds a claim when it is dropped: nobody would ever look at that claim again.
func TestR6WorkerWithClaimsIsNotDropped(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		q.silence("w1", time.Minute)
		require.NoError(q, q.RemoveWorker(q.Context(), q.name, "w1", "w2"))
		require.Equal(q, []store.Orphan{{Worker: "w1", Claim: k.claim()}}, q.sweep(10).Orphans)
	})
}

// Attempts are numbered anew in each cycle: if that were their place in the history, they would overwrite each other.
func TestR8AttemptsOfTwoCyclesDoNotCollide(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.failed()
		q.retry(k.seen, "r1", true)
		q.end(q.start(k), store.Errored(store.Failure{Error: "other", Permanent: true}))
		history := q.info(k.ref).RetryHistory
		require.Len(q, history, 2)
		require.Equal(q, []any{1, 1, "hopeless"}, []any{history[0].Cycle, history[0].Attempt, history[0].Error})
		require.Equal(q, []any{2, 1, "other"}, []any{history[1].Cycle, history[1].Attempt, history[1].Error})
	})
}

// A permanent error leaves budget over. If a retry by hand did not spend it, it could be had for ever.
func TestR9RetryByHandSpendsTheBudget(t *testing.T) {
	onBoth(t, func(q *queue) {
		ref, c := q.ref(), q.submission()
		c.Policy.MaxRetries = 1
		q.submit(ref, c)
		k := q.end(q.start(task{ref: ref, worker: "w1"}), store.Errored(permanent()))
		outcome, _ := q.retry(k.seen, "r1", false)
		require.Equal(q, store.RetryAccepted, outcome)
		k = q.end(q.start(k), store.Errored(permanent()))
		outcome, _ = q.retry(k.seen, "r2", false)
		require.Equal(q, store.RetryExhausted, outcome)
	})
}

// The reply of a command is lost, and the client sends it again after what it started is over: one command, one run.
func TestR11ResentCommandStartsNoSecondLife(t *testing.T) {
	onBoth(t, func(q *queue) {
		c := q.submission()
		c.Refresh, c.RetryFailed = true, true

		k := q.complete()
		q.submit(k.ref, c)
		q.end(q.start(k), q.Completed([]byte("2")))
		require.Equal(q, refcache.Complete, q.submit(k.ref, c).Status)

		k = q.failed()
		q.submit(k.ref, c)
		q.end(q.start(k), store.Errored(permanent()))
		require.Equal(q, refcache.Failed, q.submit(k.ref, c).Status)

		c, ref := q.submission(), q.ref()
		q.cancel(task{ref: ref, seen: q.submit(ref, c).Record})
		require.Equal(q, refcache.Cancelled, q.submit(ref, c).Status, "it is not for the cancelled call to begin again")

		k = q.failed()
		q.retry(k.seen, "r1", false)
		q.end(q.start(k), store.Errored(permanent()))
		outcome, r := q.retry(q.read(k.ref), "r1", false) // resent with what is seen by now: even so
		require.Equal(q, store.RetryAccepted, outcome)
		require.Equal(q, refcache.Failed, r.Status)
		require.Equal(q, 1, r.RetryCount)
	})
}

// Two doorbells ring for one task: the second one finds the attempt running and must neither take it nor wait for it.
func TestR12SecondDoorbellLeavesTheRunningAttemptAlone(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		before := q.dump()
		require.Equal(q, store.ClaimAnswer{}, q.claim(k.ref, "t2", "w2"))
		require.Equal(q, before, q.dump())
		require.True(q, q.finish(k.ref, k.token, q.Completed(nil)).Current)
	})
}

// asynq may hold a doorbell of any earlier delivery in its archive for ever: whatever asks for a new one needs a number
// that was never used. Only a new record begins anew.
func TestR13DeliveryNeverGoesBack(t *testing.T) {
	onBoth(t, func(q *queue) {
		k, last := q.pending(), 1
		grows := func(what string) {
			q.Helper()
			k.seen = q.read(k.ref)
			require.Equal(q, last+1, k.seen.Delivery, what)
			last++
		}
		_, err := q.NewDelivery(q.Context(), k.ref, 1)
		require.NoError(q, err)
		grows("new_delivery")
		q.redeliver(q.start(k), "w1")
		grows("redeliver")
		k = q.end(q.start(k), store.Errored(permanent()))
		q.retry(k.seen, "r1", false)
		grows("retry")
		k = q.end(q.start(k), store.Errored(permanent()))
		q.retry(k.seen, "r2", true)
		grows("retry, fresh")
		q.cancel(k)
		q.submit(k.ref, q.submission())
		grows("submit after cancel")
		c := q.submission()
		c.RetryFailed, c.Refresh = true, true
		q.end(q.start(k), store.Errored(permanent()))
		q.submit(k.ref, c)
		grows("submit, retry failed")
		q.end(q.start(k), q.Completed(nil))
		c.Request = "another"
		q.submit(k.ref, c)
		grows("submit, refresh")
	})
}

// A producer dies between record and doorbell: the next to make the call must learn that the task waits, and under
// which delivery, or it would wait for a sweep.
func TestR14SubmitAnswersThatTheTaskIsPending(t *testing.T) {
	onBoth(t, func(q *queue) {
		ref, c := q.ref(), q.submission()
		q.submit(ref, c)
		_, err := q.NewDelivery(q.Context(), ref, 1)
		require.NoError(q, err)
		for _, s := range []store.Submitted{q.submit(ref, c), q.submit(ref, q.submission())} {
			require.Equal(q, refcache.Pending, s.Status)
			require.Equal(q, 2, s.Delivery)
		}
	})
}
