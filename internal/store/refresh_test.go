package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// refresh has a complete task run again.
func (q *queue) refresh(k task) task {
	q.Helper()
	c := q.submission()
	c.Refresh = true
	made := q.submit(k.ref, c)
	require.True(q, made.Starts)
	k.seen = made.Record
	return k
}

// refreshEnds are the ends of a refresh without a new result, by the kind that the record keeps.
var refreshEnds = map[string]func(q *queue, k task){
	"error": func(q *queue, k task) {
		q.end(q.start(k), store.Errored(store.Failure{Error: "no luck", Cause: refcache.CauseError}))
	},
	"timeout": func(q *queue, k task) {
		q.end(q.start(k), store.Errored(store.Failure{Error: "slow", Cause: refcache.CauseTimeout}))
	},
	"permanent": func(q *queue, k task) { q.end(q.start(k), store.Errored(permanent())) },
	"cancelled": func(q *queue, k task) { q.cancel(k) },
	"lost": func(q *queue, k task) {
		q.set(k.ref, "lost_count", refcache.MaxLost)
		k = q.start(k)
		taken, r := q.redeliver(k, k.worker)
		require.True(q, taken)
		require.Equal(q, refcache.Complete, r.Status)
	},
}

func TestARefreshNeverCostsAGoodResult(t *testing.T) {
	for kind, end := range refreshEnds {
		t.Run(kind, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := q.complete()
				began, ends := q.read(k.ref).StartedAt, q.read(k.ref).ExpiresAt()
				k = q.refresh(k)
				require.Equal(q, store.ResultFrom{AsOf: began, ExpiresAt: ends}, k.seen.ResultFrom)
				q.set(k.ref, "retry_count", 3)
				end(q, k)

				now, result, err := q.Result(q.Context(), k.ref, "")
				require.NoError(q, err)
				require.Equal(q, refcache.Complete, now.Status)
				require.Equal(q, `"done"`, string(result))
				require.Equal(q, store.ResultFrom{AsOf: began, ExpiresAt: ends, Refresh: kind}, now.ResultFrom)
				require.True(q, now.Stale())
				require.True(q, ends.Equal(now.ExpiresAt()))
				require.NotEmpty(q, now.Error())
				left := q.rdb.PTTL(q.Context(), q.record(k.ref)).Val()
				require.LessOrEqual(q, left, ends.Sub(now.CompletedAt)+time.Second)
				events := q.info(k.ref).Events
				require.Equal(q, refcache.EventRefreshFailed, events[len(events)-1].Kind)
				require.Equal(q, "2", q.hash(k.ref)["v"])
				q.sound(k.ref)
			})
		})
	}
}

func TestAResultThatExpiredDuringItsRefreshIsGone(t *testing.T) {
	for kind, end := range refreshEnds {
		t.Run(kind, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := q.refresh(q.complete())
				q.set(k.ref, "expires_at", q.ago(0), "retry_count", 3)
				_, result, err := q.Result(q.Context(), k.ref, "")
				require.NoError(q, err)
				require.Nil(q, result, "it answers no longer")
				if kind == "lost" {
					q.set(k.ref, "lost_count", refcache.MaxLost)
					k = q.start(k)
					q.redeliver(k, k.worker)
				} else {
					end(q, k)
				}
				record := q.hash(k.ref)
				require.Contains(q, []string{"failed", "cancelled"}, record["status"])
				require.NotContains(q, record, "result_from")
				require.NotContains(q, record, "v")
				q.sound(k.ref)
			})
		})
	}
}

func TestANewResultTellsNothingOfTheOldOne(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.refresh(q.complete())
		q.end(q.start(k), q.Completed([]byte("2")))
		record := q.hash(k.ref)
		require.NotContains(q, record, "as_of")
		require.NotContains(q, record, "v")
		require.False(q, q.read(k.ref).Stale())
		q.sound(k.ref)
	})
}

func TestARefreshAfterOneThatFailedKeepsWhatItKnowsOfTheResult(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.refresh(q.complete())
		from := k.seen.ResultFrom
		k = q.end(q.start(k), store.Errored(permanent()))
		require.Equal(q, from, q.refresh(k).seen.ResultFrom)
	})
}

// The worker must not count a completion, also when it did not hear the first answer.
func TestTheWorkerOfARefreshThatFailsHearsFailed(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.start(q.refresh(q.complete()))
		first := q.finish(k.ref, k.token, store.Errored(permanent()))
		require.Equal(q, store.Finished{Current: true, Status: refcache.Failed}, first)
		require.Equal(q, first, q.finish(k.ref, k.token, store.Errored(permanent())))
	})
}

func TestACancelThatComesAgainSparesALaterRefresh(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.refresh(q.complete())
		cancel := func() (bool, store.Record) {
			done, r, err := q.Cancel(q.Context(), k.seen, "ann@host")
			require.NoError(q, err)
			return done, r
		}
		for range 2 {
			done, r := cancel()
			require.True(q, done)
			require.True(q, r.Stale())
		}
		q.refresh(k)
		done, r := cancel()
		require.False(q, done)
		require.Equal(q, refcache.Pending, r.Status)
	})
}

// A plain call is answered by the old result at once: it waits for nothing.
func TestACallDuringARefreshIsNoWaiter(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.refresh(q.complete())
		c := q.submission()
		c.Inbox = "refq:inbox:plain"
		require.Equal(q, `"done"`, string(q.submit(k.ref, c).Result))
		require.Empty(q, q.hash(k.ref)["waiters"])
		q.set(k.ref, "expires_at", q.ago(time.Second))
		require.Nil(q, q.submit(k.ref, c).Result)
		require.Equal(q, c.Inbox, q.hash(k.ref)["waiters"])
	})
}

// An old sweep takes the result and leaves the words about it. A failure must not become a result from nowhere.
func TestWordsAboutAResultThatIsGoneCountForNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.refresh(q.complete())
		require.NoError(q, q.rdb.HDel(q.Context(), q.record(k.ref), "result").Err())
		q.end(q.start(k), store.Errored(permanent()))
		record := q.hash(k.ref)
		require.Equal(q, "failed", record["status"])
		require.NotContains(q, record, "as_of")
		require.NotContains(q, record, "v")
	})
}

func TestDamagedWordsAboutAResultAreNamed(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.refresh(q.complete())
		q.set(k.ref, "as_of", "yesterday")
		_, err := q.Read(q.Context(), k.ref)
		require.ErrorIs(q, err, store.ErrDamaged)
		require.ErrorContains(q, err, `as_of is "yesterday", not a whole number`)
	})
}

// failedBy makes a task that has failed by a cause.
func (q *queue) failedBy(kind refcache.FailureKind) task {
	q.Helper()
	k := q.pending()
	switch kind {
	case refcache.FailurePermanent:
		return q.end(q.start(k), store.Errored(permanent()))
	case refcache.FailureLost:
		q.set(k.ref, "lost_count", refcache.MaxLost)
		k = q.start(k)
		taken, r := q.redeliver(k, k.worker)
		require.True(q, taken)
		k.seen = r
		return k
	}
	q.set(k.ref, "retry_count", 3)
	return q.end(q.start(k), store.Errored(store.Failure{Error: "no luck", Cause: refcache.Cause(kind)}))
}

func TestAFailureAnswersForItsTimeAndIsThenRunAnew(t *testing.T) {
	var none refcache.FailureAnswer
	for _, kind := range refcache.FailureKinds {
		for name, answers := range map[string]refcache.FailureAnswer{
			"default": refcache.Defaults.FailureAnswer, "none": none,
			"other": {Error: 2 * time.Hour, Permanent: 3 * time.Hour, Timeout: 4 * time.Hour, Panic: 5 * time.Hour, Lost: 6 * time.Hour},
		} {
			t.Run(fmt.Sprint(kind, " ", name), func(t *testing.T) {
				onBoth(t, func(q *queue) {
					k, c, most := q.failedBy(kind), q.submission(), answers.Of(kind)
					c.Policy.FailureAnswer = answers
					if most > 0 {
						q.set(k.ref, "completed_at", q.ago(most-time.Minute/2))
						made := q.submit(k.ref, c)
						require.False(q, made.Starts)
						require.Equal(q, refcache.Failed, made.Status)
						attempt := made.LastAttempt()
						require.Equal(q, kind == refcache.FailurePermanent, attempt.Permanent)
						require.Equal(q, q.info(k.ref).RetryHistory[0], attempt)
					}
					q.set(k.ref, "completed_at", q.ago(most))
					c.Request = "later"
					made := q.submit(k.ref, c)
					require.True(q, made.Starts)
					require.Equal(q, refcache.Pending, made.Status)
					require.Equal(q, 2, made.Cycle)
					q.sound(k.ref)
					again := q.submit(k.ref, c)
					again.ReadAt = made.ReadAt
					require.Equal(q, made, again, "a resend only reads")
				})
			})
		}
	}
}

// Four workers died of it: a caller's loop must not kill four more.
func TestALifeAfterLossesIsASuspectThatTheNextLossEnds(t *testing.T) {
	onBoth(t, func(q *queue) {
		k, c := q.failedBy(refcache.FailureLost), q.submission()
		c.Policy.FailureAnswer = refcache.FailureAnswer{}
		made := q.submit(k.ref, c)
		require.True(q, made.Starts)
		require.Equal(q, refcache.MaxLost+1, made.LostCount)
		answer, err := q.ClaimUnsuspected(q.Context(), k.ref, "t", "w1", "")
		require.NoError(q, err)
		require.True(q, answer.Suspect)
		k = q.start(k)
		_, r := q.redeliver(k, k.worker)
		require.Equal(q, refcache.Failed, r.Status)
		k.seen = r

		outcome, r, err := q.Retry(q.Context(), k.seen, "by hand", "ann@host", true)
		require.NoError(q, err)
		require.Equal(q, store.RetryAccepted, outcome)
		require.Zero(q, r.LostCount, "a person has looked at it")
	})
}
