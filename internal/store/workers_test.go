package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
)

func (q *queue) beat(worker string, runs ...store.Claim) (void, unknown []store.Claim) {
	q.Helper()
	beaten, err := q.Heartbeat(q.Context(), q.name, store.Beat{Worker: worker, About: "about " + worker, Runs: runs})
	require.NoError(q, err)
	return beaten.Void, beaten.Unknown
}

func (k task) claim() store.Claim { return store.Claim{Ref: k.ref, Token: k.token} }

func TestBeatShowsThatAWorkerLives(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.silence("w1", time.Hour)
		q.beat("w1")
		last := q.rdb.ZScore(q.Context(), q.key("workers"), "w1").Val()
		require.InDelta(q, q.now().UnixMilli(), last, float64(soon.Milliseconds()))
		require.Equal(q, "about w1", q.rdb.Get(q.Context(), q.key("worker:w1")).Val())
	})
}

func TestBeatNamesVoidTokens(t *testing.T) {
	onBoth(t, func(q *queue) {
		runs := q.processing()
		lost := q.processing()
		q.redeliver(lost, "w1")
		elsewhere := q.processing()
		q.redeliver(elsewhere, "w1")
		q.start(task{ref: elsewhere.ref, worker: "w2"})
		cancelled := q.cancelled()
		expired := task{ref: q.ref(), token: "t"}
		meddled := task{ref: q.ref(), token: "t"}
		require.NoError(q, q.rdb.Set(q.Context(), q.record(meddled.ref), "no hash", 0).Err())

		void, unknown := q.beat("w1", runs.claim(), lost.claim(), elsewhere.claim(), cancelled.claim(), expired.claim(), meddled.claim())
		require.Equal(q, []store.Claim{lost.claim(), elsewhere.claim(), cancelled.claim(), expired.claim(), meddled.claim()}, void)
		require.Empty(q, unknown)
	})
}

func TestBeatNamesClaimsThatTheWorkerDoesNotKnow(t *testing.T) {
	onBoth(t, func(q *queue) {
		known, unknown := q.processing(), q.processing()
		renewed := q.processing()
		q.redeliver(renewed, "w1")
		old := renewed.claim()
		renewed = q.start(renewed)
		q.start(task{ref: q.pending().ref, worker: "w2"})

		void, missed := q.beat("w1", known.claim(), old)
		require.Equal(q, []store.Claim{old}, void)
		require.ElementsMatch(q, []store.Claim{unknown.claim(), renewed.claim()}, missed, "another token is another claim")
	})
}

func TestBeatsOfManyAttemptsAreAnsweredInFull(t *testing.T) {
	onBoth(t, func(q *queue) {
		var runs []store.Claim
		for range 300 {
			runs = append(runs, store.Claim{Ref: q.ref(), Token: "t"})
		}
		void, _ := q.beat("w1", runs...)
		require.Equal(q, runs, void)
	})
}

func TestDeadWorkerIsDroppedOnceItHoldsNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		drop := func(worker, by string) {
			q.Helper()
			require.NoError(q, q.RemoveWorker(q.Context(), q.name, worker, by))
		}
		listed := func() []string { return q.rdb.ZRange(q.Context(), q.key("workers"), 0, -1).Val() }

		q.beat("w1")
		q.keepAlive("w1")
		drop("w1", "w2")
		require.Equal(q, []string{"w1"}, listed(), "it lives")
		drop("w1", "w1")
		require.Empty(q, listed(), "it goes")
		require.Zero(q, q.rdb.Exists(q.Context(), q.key("worker:w1")).Val())

		k := q.processing()
		q.beat("w1", k.claim())
		q.silence("w1", time.Hour)
		drop("w1", "w2")
		drop("w1", "w1")
		require.Equal(q, []string{"w1"}, listed(), "it holds a claim")
		q.redeliver(k, "w2")
		drop("w1", "w2")
		require.Empty(q, listed())
		drop("w1", "w2") // unknown: nothing to do
	})
}

func TestQueuesAreNotedOnce(t *testing.T) {
	onBoth(t, func(q *queue) {
		require.NoError(q, q.AddQueue(q.Context(), q.name))
		require.NoError(q, q.AddQueue(q.Context(), q.name))
		queues, err := q.Queues(q.Context())
		require.NoError(q, err)
		count := 0
		for _, name := range queues {
			if name == q.name {
				count++
			}
		}
		require.Equal(q, 1, count)
	})
}
