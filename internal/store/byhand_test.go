package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func (q *queue) retry(seen store.Record, request string, fresh bool) (store.RetryOutcome, store.Record) {
	q.Helper()
	outcome, r, err := q.Retry(q.Context(), seen, request, "ann@host", fresh)
	require.NoError(q, err)
	return outcome, r
}

func TestRetrySpendsWhatIsLeftOfTheBudget(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.end(q.start(q.retrying(0)), store.Errored(permanent())) // one of three retries is used
		outcome, r := q.retry(k.seen, "r1", false)
		require.Equal(q, store.RetryAccepted, outcome)
		require.Equal(q, refcache.Pending, r.Status)
		require.Equal(q, []int{1, 2, 2, 2}, []int{r.Cycle, r.Attempt, r.RetryCount, r.Delivery})
		info := q.info(k.ref)
		require.Len(q, info.RetryHistory, 2)
		require.Equal(q, []refcache.EventKind{refcache.EventRetry}, kinds(info.Events))
		require.Equal(q, "ann@host", info.Events[0].By)
		require.Nil(q, info.CompletedAt)
		require.Empty(q, info.Error)
		require.Equal(q, "hopeless", info.LastError)
		require.Equal(q, time.Duration(-1), q.rdb.PTTL(q.Context(), q.record(k.ref)).Val())
		q.sound(k.ref)
		require.Equal(q, 3, q.start(k).seen.Attempt)
	})
}

func TestFreshBudgetStartsANewCycle(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.exhausted()
		q.set(k.ref, "lost_count", 2)
		outcome, r := q.retry(k.seen, "r1", false)
		require.Equal(q, store.RetryExhausted, outcome)
		require.Equal(q, refcache.Failed, r.Status)

		policy := r.Policy
		outcome, r = q.retry(k.seen, "r2", true)
		require.Equal(q, store.RetryAccepted, outcome)
		require.Equal(q, []int{2, 0, 0, 0, 2}, []int{r.Cycle, r.Attempt, r.RetryCount, r.LostCount, r.Delivery})
		require.Equal(q, policy, r.Policy, "a retry by hand keeps the policy")
		require.Equal(q, []refcache.EventKind{refcache.EventFresh}, kinds(q.info(k.ref).Events))
		q.sound(k.ref)

		k = q.end(q.start(k), store.Errored(failure()))
		history := q.info(k.ref).RetryHistory
		require.Equal(q, []int{1, 1, 2, 1}, []int{history[0].Cycle, history[0].Attempt, history[1].Cycle, history[1].Attempt})
	})
}

func TestRefusedRetriesChangeNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		failed := q.failed()
		older, other := failed.seen, failed.seen
		older.Delivery--
		other.CreatedAt = other.CreatedAt.Add(-time.Millisecond)
		for name, c := range map[string]struct {
			seen store.Record
			want store.RetryOutcome
		}{
			"pending":        {q.pending().seen, store.RetryNotFailed},
			"processing":     {q.processing().seen, store.RetryNotFailed},
			"retrying":       {q.retrying(0).seen, store.RetryNotFailed},
			"complete":       {q.complete().seen, store.RetryNotFailed},
			"cancelled":      {q.cancelled().seen, store.RetryNotFailed},
			"exhausted":      {q.exhausted().seen, store.RetryExhausted},
			"other delivery": {older, store.RetryNotFailed},
			"other life":     {other, store.RetryNotFailed},
		} {
			before := q.dump()
			outcome, r := q.retry(c.seen, "r1", false)
			require.Equal(q, c.want, outcome, name)
			require.Equal(q, c.seen.Ref, r.Ref, name)
			require.Equal(q, before, q.dump(), name)
		}
		_, _, err := q.Retry(q.Context(), store.Record{Ref: q.ref()}, "r1", "ann", true)
		require.ErrorIs(q, err, refcache.ErrTaskNotFound)
	})
}

func TestOfTwoWhoRetryAtOnceOneWins(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.failed()
		outcomes := make(chan store.RetryOutcome, 20)
		var people sync.WaitGroup
		for n := range cap(outcomes) {
			people.Go(func() {
				outcome, _, _ := q.Retry(q.Context(), k.seen, "request "+string(rune('a'+n)), "ann@host", n%2 == 0)
				outcomes <- outcome
			})
		}
		people.Wait()
		close(outcomes)
		count := map[store.RetryOutcome]int{}
		for o := range outcomes {
			count[o]++
		}
		require.Equal(q, map[store.RetryOutcome]int{store.RetryAccepted: 1, store.RetryNotFailed: 19}, count)
	})
}

func TestCancelEndsATaskAtOnce(t *testing.T) {
	onBoth(t, func(q *queue) {
		for name, k := range map[string]task{"pending": q.pending(), "retrying": q.retrying(time.Hour), "processing": q.start(q.retrying(0))} {
			attempts := len(q.info(k.ref).RetryHistory)
			done, r, err := q.Cancel(q.Context(), k.seen, "ann@host")
			require.NoError(q, err, name)
			require.True(q, done, name)
			require.Equal(q, refcache.Cancelled, r.Status, name)
			info := q.info(k.ref)
			require.Empty(q, info.Error, name)
			require.NotNil(q, info.CompletedAt, name)
			require.Equal(q, []refcache.EventKind{refcache.EventCancel}, kinds(info.Events), name)
			require.Equal(q, "ann@host", info.Events[0].By, name)
			q.sound(k.ref)
			if name != "processing" {
				require.Len(q, info.RetryHistory, attempts, name)
				continue
			}
			require.Len(q, info.RetryHistory, attempts+1)
			last := info.RetryHistory[attempts]
			require.Equal(q, refcache.CauseCancelled, last.Cause)
			require.Equal(q, "cancelled by ann@host", last.Error)
			require.Equal(q, []any{1, 2, "w1"}, []any{last.Cycle, last.Attempt, last.Worker})
			require.Equal(q, "boom", info.LastError, "of the latest failed attempt")
			require.Equal(q, refcache.CauseError, info.ErrorCause, "of the same attempt")
			require.Equal(q, store.Finished{}, q.finish(k.ref, k.token, q.Completed([]byte("1"))), "the token is void")
		}
	})
}

func TestCancelOfAnotherLifeAnswersAsIfItHadEnded(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		other, older := k.seen, k.seen
		other.CreatedAt = other.CreatedAt.Add(-time.Millisecond)
		older.Cycle++
		for name, seen := range map[string]store.Record{"other record": other, "other cycle": older,
			"complete": q.complete().seen, "failed": q.failed().seen} {
			before := q.dump()
			done, r, err := q.Cancel(q.Context(), seen, "ann")
			require.NoError(q, err, name)
			require.False(q, done, name)
			require.Equal(q, seen.Ref, r.Ref)
			require.Equal(q, before, q.dump(), name)
		}
		_, _, err := q.Cancel(q.Context(), store.Record{Ref: q.ref()}, "ann")
		require.ErrorIs(q, err, refcache.ErrTaskNotFound)
	})
}

func TestCancelOfACancelledTaskIsASuccessInTheCycleSeen(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.cancelled()
		before := q.dump()
		done, _, err := q.Cancel(q.Context(), k.seen, "bob")
		require.NoError(q, err)
		require.True(q, done)
		require.Equal(q, before, q.dump())

		q.submit(k.ref, q.submission())
		again := q.cancel(task{ref: k.ref, seen: q.read(k.ref)})
		done, _, err = q.Cancel(q.Context(), k.seen, "ann")
		require.NoError(q, err)
		require.False(q, done, "cancelled in a later cycle: that is not what was seen")
		require.Equal(q, 2, again.seen.Cycle)
	})
}

func TestDeleteRemovesTheRecordAndItsIndexEntry(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, k := range []task{q.complete(), q.failed(), q.cancelled()} {
			gone, err := q.Delete(q.Context(), k.seen)
			require.NoError(q, err)
			require.True(q, gone)
			require.Empty(q, q.hash(k.ref))
			q.sound(k.ref)
			gone, err = q.Delete(q.Context(), k.seen)
			require.NoError(q, err)
			require.True(q, gone, "again")
		}
	})
}

func TestDeleteSparesWhatWasNotSeen(t *testing.T) {
	onBoth(t, func(q *queue) {
		failed := q.failed()
		older, other := failed.seen, failed.seen
		older.Cycle++
		other.CreatedAt = other.CreatedAt.Add(time.Millisecond)
		for name, c := range map[string]struct {
			seen store.Record
			gone bool
		}{
			"other cycle":  {older, true},
			"other record": {other, true},
			"pending":      {q.pending().seen, false},
			"processing":   {q.processing().seen, false},
			"retrying":     {q.retrying(0).seen, false},
		} {
			before := q.dump()
			gone, err := q.Delete(q.Context(), c.seen)
			require.NoError(q, err, name)
			require.Equal(q, c.gone, gone, name)
			require.Equal(q, before, q.dump(), name)
		}
	})
}
