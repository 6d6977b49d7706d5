package store_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// handOn has a task handed on so many times.
func (q *queue) handOn(k task, l store.Lack, times int) task {
	q.Helper()
	for range times {
		k = q.end(q.start(k), store.HandedOn("lacks", "w1", l))
	}
	return k
}

// rowBegan lets the last event of a task, a row of hand-ons, have begun so long ago.
func (q *queue) rowBegan(k task, ago time.Duration) {
	q.Helper()
	field := fmt.Sprint("event:", q.info(k.ref).EventsTotal)
	text := q.rdb.HGet(q.Context(), q.record(k.ref), field).Val()
	text = regexp.MustCompile(`since":\d+`).ReplaceAllString(text, `since":`+q.ago(ago))
	require.NoError(q, q.rdb.HSet(q.Context(), q.record(k.ref), field, text).Err())
}

func TestHandOnsInARowAreOneEvent(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.handOn(q.pending(), store.LacksMember, 3)
		info := q.info(k.ref)
		require.Len(q, info.Events, 1)
		require.Equal(q, 1, info.EventsTotal)
		require.Equal(q, 3, info.Events[0].Times)
		require.Equal(q, "lacks", info.Note)
		require.Zero(q, info.Attempt)
		q.sound(k.ref)

		k = q.handOn(k, store.LacksFunction, 1)
		require.Len(q, q.info(k.ref).Events, 1)
		k = q.end(q.start(k), store.Errored(store.Failure{Error: "no luck", Cause: refcache.CauseError}))
		q.set(k.ref, "next_retry_at", q.ago(0))
		k = q.handOn(k, store.LacksFunction, 2) // an attempt lies between
		events := q.info(k.ref).Events
		require.Len(q, events, 2)
		require.Equal(q, []int{4, 2}, []int{events[0].Times, events[1].Times})
		k = q.end(q.start(k), store.Released("", "w1")) // it was no hand-on
		k = q.handOn(k, store.LacksFunction, 1)
		require.Len(q, q.info(k.ref).Events, 4)
		q.sound(k.ref)
	})
}

// A resend of the hand-on finds its token, and counts nothing.
func TestHandOnThatIsSentAgainCountsOnce(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.start(q.pending())
		for range 2 {
			finished := q.finish(k.ref, k.token, store.HandedOn("lacks", "w1", store.LacksMember))
			require.True(q, finished.Current)
			require.Equal(q, refcache.Pending, finished.Status)
		}
		require.Equal(q, 1, q.info(k.ref).Events[0].Times)
		require.False(q, q.finish(k.ref, "void", store.HandedOn("lacks", "w1", store.LacksMember)).Current)
	})
}

func TestHandOnsForLackOfAMemberEndAfterTenMinutes(t *testing.T) {
	onBoth(t, func(q *queue) {
		for lack, want := range map[store.Lack]refcache.Status{store.LacksMember: refcache.Failed, store.LacksFunction: refcache.Pending} {
			k := q.handOn(q.pending(), lack, 2)
			q.rowBegan(k, 10*time.Minute)
			k = q.start(k)
			for range 2 {
				require.Equal(q, want, q.finish(k.ref, k.token, store.HandedOn("lacks", "w1", lack)).Status)
			}
			info := q.info(k.ref)
			require.Equal(q, want, info.Status)
			if want == refcache.Failed {
				require.Equal(q, "lacks", info.LastError)
				require.False(q, info.RetryHistory[0].Permanent)
				require.Equal(q, refcache.CauseError, info.RetryHistory[0].Cause)
			}
			q.sound(k.ref)
		}
	})
}

// Workers of a queue may lack different things: a misspelt member ends all the same.
func TestHandOnsForLackOfAMemberEndAmongOthers(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.handOn(q.pending(), store.LacksFunction, 1)
		k = q.handOn(k, store.LacksMember, 1)
		q.rowBegan(k, 10*time.Minute)
		k = q.handOn(k, store.LacksFunction, 1)
		k = q.start(k)
		require.Equal(q, refcache.Failed, q.finish(k.ref, k.token, store.HandedOn("lacks", "w1", store.LacksMember)).Status)
	})
}

// A refresh that nobody can run ends as any that fails: with the old result.
func TestARefreshThatIsHandedOnForTooLongKeepsTheOldResult(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.handOn(q.refresh(q.complete()), store.LacksMember, 1)
		q.rowBegan(k, 10*time.Minute)
		k = q.start(k)
		require.Equal(q, refcache.Failed, q.finish(k.ref, k.token, store.HandedOn("lacks", "w1", store.LacksMember)).Status)
		now, result, err := q.Result(q.Context(), k.ref, "")
		require.NoError(q, err)
		require.Equal(q, refcache.Complete, now.Status)
		require.Equal(q, "error", now.ResultFrom.Refresh)
		require.Equal(q, `"done"`, string(result))
		q.sound(k.ref)
	})
}

// The first of a new life begins a row of its own.
func TestHandOnsOfTwoLivesAreTwoRows(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.handOn(q.pending(), store.LacksMember, 2)
		k = q.cancel(k)
		made := q.submit(k.ref, q.submission())
		require.True(q, made.Starts)
		k.seen = made.Record
		k = q.handOn(k, store.LacksMember, 1)
		events := q.info(k.ref).Events
		require.Equal(q, 1, events[len(events)-1].Times)
	})
}
