package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func TestAttemptOfADeadWorkerIsRedelivered(t *testing.T) {
	onBoth(t, func(q *queue) {
		for name, die := range map[string]func(){
			"silent":          func() { q.silence("w1", store.DeadAfter+time.Second) },
			"not in the list": func() { q.rdb.ZRem(q.Context(), q.key("workers"), "w1") },
		} {
			k := q.start(q.retrying(0))
			die()
			taken, r := q.redeliver(k, "w2")
			require.True(q, taken, name)
			require.Equal(q, refcache.Pending, r.Status)
			require.Equal(q, []int{2, 1, 1, 2}, []int{r.Attempt, r.RetryCount, r.LostCount, r.Delivery}, "costs no retry")
			require.Contains(q, r.LastError, "worker w1 was lost")
			info := q.info(k.ref)
			require.Nil(q, info.StartedAt)
			require.Len(q, info.RetryHistory, 2)
			lost := info.RetryHistory[1]
			require.Equal(q, refcache.CauseLost, lost.Cause)
			require.Equal(q, []int{1, 2}, []int{lost.Cycle, lost.Attempt})
			require.Equal(q, "w1", lost.Worker)
			require.True(q, lost.StartedAt.Equal(k.seen.StartedAt))
			require.Equal(q, refcache.CauseLost, info.ErrorCause)
			require.Equal(q, []refcache.EventKind{refcache.EventRedelivered}, kinds(info.Events))
			require.Equal(q, "w2", info.Events[0].By)
			q.sound(k.ref)
		}
	})
}

func kinds(events []refcache.Event) []refcache.EventKind {
	var kinds []refcache.EventKind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestAttemptOfALivingWorkerStaysWithIt(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		q.keepAlive("w1")
		before := q.dump()
		taken, _ := q.redeliver(k, "w2")
		require.False(q, taken)
		require.Equal(q, before, q.dump())
	})
}

func TestWorkerIsDeadAfterSixSecondsOfSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		k := q.processing()
		time.Sleep(store.DeadAfter)
		taken, _ := q.redeliver(k, "w2")
		require.False(t, taken)
		time.Sleep(time.Millisecond)
		taken, _ = q.redeliver(k, "w2")
		require.True(t, taken)
	})
}

func TestWorkerMayGiveUpItsOwnAttempt(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		taken, r := q.redeliver(k, "w1")
		require.True(q, taken)
		require.Equal(q, 1, r.LostCount)
		require.Contains(q, r.LastError, "never saw the answer")
		q.sound(k.ref)
	})
}

func TestFourthLossInACycleFailsTheTask(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		for loss := 1; loss <= refcache.MaxLost; loss++ {
			k = q.start(k)
			_, r := q.redeliver(k, "w1")
			require.Equal(q, refcache.Pending, r.Status)
			require.Equal(q, loss, r.LostCount)
		}
		k = q.start(k)
		taken, r := q.redeliver(k, "w1")
		require.True(q, taken)
		require.Equal(q, refcache.Failed, r.Status)
		require.True(q, r.CanRetry(), "losses left the budget over")
		info := q.info(k.ref)
		require.Equal(q, refcache.CauseLost, info.ErrorCause)
		require.Len(q, info.RetryHistory, 4)
		q.sound(k.ref)

		_, r, err := q.Retry(q.Context(), r, "r1", "ann@host", true)
		require.NoError(q, err)
		require.Zero(q, r.LostCount, "a fresh budget is one of losses, too")
	})
}

func TestOldResultStaysWhenARefreshIsLostForGood(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.complete()
		c := q.submission()
		c.Refresh = true
		q.submit(k.ref, c)
		q.set(k.ref, "lost_count", refcache.MaxLost)
		k = q.start(k)
		q.redeliver(k, "w1")
		_, result, err := q.Result(q.Context(), k.ref, "")
		require.NoError(q, err)
		require.Equal(q, `"done"`, string(result))
		require.Equal(q, "lost", q.read(k.ref).ResultFrom.Refresh)
		q.sound(k.ref)
	})
}

func TestClaimOnNothingIsCleanedUp(t *testing.T) {
	onBoth(t, func(q *queue) {
		gone := task{ref: q.ref(), token: "t1", worker: "w1"}
		over := q.complete()
		over.token = "t2"
		newer := q.processing()
		newer.token = "t3"
		for name, k := range map[string]task{"no record": gone, "final": over} {
			q.rdb.HSet(q.Context(), q.claims("w1"), k.ref.Hash(), k.token)
			taken, _ := q.redeliver(k, "w2")
			require.False(q, taken, name)
			require.False(q, q.rdb.HExists(q.Context(), q.claims("w1"), k.ref.Hash()).Val(), name)
		}
		before := q.dump()
		taken, _ := q.redeliver(newer, "w2")
		require.False(q, taken)
		require.Equal(q, before, q.dump(), "the claim is another token's")
	})
}

func TestNewDeliveryGivesAWaitingTaskANewDoorbell(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, k := range []task{q.pending(), q.retrying(time.Hour)} {
			before := q.hash(k.ref)
			r, err := q.NewDelivery(q.Context(), k.ref, 1)
			require.NoError(q, err)
			require.Equal(q, 2, r.Delivery)
			after := q.hash(k.ref)
			require.Equal(q, "2", after["delivery"])
			delete(after, "delivery")
			require.Equal(q, before, after, "nothing else")
			r, err = q.NewDelivery(q.Context(), k.ref, 1)
			require.NoError(q, err)
			require.Equal(q, 2, r.Delivery, "somebody else did it")
		}
		k := q.processing()
		r, err := q.NewDelivery(q.Context(), k.ref, 1)
		require.NoError(q, err)
		require.Equal(q, 1, r.Delivery)
		require.Equal(q, refcache.Processing, r.Status)
		_, err = q.NewDelivery(q.Context(), q.ref(), 1)
		require.ErrorIs(q, err, refcache.ErrTaskNotFound)
	})
}
