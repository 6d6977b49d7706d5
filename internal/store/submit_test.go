package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func TestFirstSubmitStartsALife(t *testing.T) {
	onBoth(t, func(q *queue) {
		ref, c := q.ref(), q.submission()
		c.Namespace, c.Policy.Version = "shop", 2
		s := q.submit(ref, c)
		require.True(q, s.Starts)
		require.Nil(q, s.Result)
		require.Equal(q, refcache.Pending, s.Status)
		require.Equal(q, ref, s.Ref)
		require.Equal(q, []int{1, 1, 0}, []int{s.Cycle, s.Delivery, s.Attempt})
		require.Equal(q, "shop", s.Namespace)
		want := c.Policy
		want.AsyncTimeout, want.FailureAnswer = 0, refcache.FailureAnswer{} // are the caller's own
		require.Equal(q, want, s.Policy)
		require.WithinDuration(q, q.now(), s.CreatedAt, soon)
		require.True(q, s.CreatedAt.Equal(s.ReadAt))
		q.sound(ref)
	})
}

func TestEqualSubmitsShareOneLife(t *testing.T) {
	onBoth(t, func(q *queue) {
		ref := q.ref()
		starts := make(chan bool, 50)
		var callers sync.WaitGroup
		for range cap(starts) {
			callers.Go(func() {
				s, err := q.Submit(q.Context(), ref, q.submission())
				starts <- err == nil && s.Starts
			})
		}
		callers.Wait()
		close(starts)
		count := 0
		for started := range starts {
			if started {
				count++
			}
		}
		require.Equal(q, 1, count)
		require.Equal(q, 1, q.read(ref).Delivery)
	})
}

func TestPolicyOfTheFirstSubmitStands(t *testing.T) {
	onBoth(t, func(q *queue) {
		c := q.submission()
		c.Policy.MaxRetries, c.Policy.TTL, c.Policy.Backoff = 7, time.Hour, "mine"
		ref := q.ref()
		first := q.submit(ref, c)
		again := q.submit(ref, q.submission())
		require.False(q, again.Starts)
		require.Equal(q, first.Policy, again.Policy)
	})
}

func TestEveryFieldOfThePolicyIsKept(t *testing.T) {
	onBoth(t, func(q *queue) {
		for name, p := range map[string]refcache.Policy{
			"odd": {Version: 3, MaxRetries: 10_000, RetryDelay: 1501 * time.Millisecond, BackoffFactor: 1.0000001,
				RetryMaxDelay: 36500 * 24 * time.Hour, RetryJitter: 0.1234567, Backoff: "a/b", Timeout: time.Millisecond,
				TTL: time.Second, FailureTTL: 36500 * 24 * time.Hour},
			"none": {Version: 1, BackoffFactor: 1e300, TTL: time.Second, FailureTTL: time.Second}, // zeros mean none, not the default
		} {
			p.Name, p.Queue = "f", q.name
			c, ref := q.submission(), q.ref()
			c.Policy = p
			q.submit(ref, c)
			require.Empty(q, cmp.Diff(p, q.read(ref).Policy), name)
		}
	})
}

func TestHitAnswersTheResultInOneRoundTrip(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.complete()
		s := q.submit(k.ref, q.submission())
		require.False(q, s.Starts)
		require.Equal(q, refcache.Complete, s.Status)
		require.Equal(q, `"done"`, string(s.Result))
	})
}

func TestFailureAnswersRepeatedCalls(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.failed()
		c := q.submission()
		c.Refresh = true // is about what is complete
		s := q.submit(k.ref, c)
		require.False(q, s.Starts)
		require.Equal(q, "hopeless", s.Error())
		require.Nil(q, s.Result)
	})
}

// A new life, however it comes: counters begin anew, the new submitter's policy holds, and what people may want to
// know of earlier lives stays.
func TestNewLifeBeginsAnewAndKeepsItsHistory(t *testing.T) {
	for name, way := range map[string]struct {
		old    func(q *queue) task
		submit func(c *store.Submission)
		result string
	}{
		"cancelled":    {(*queue).cancelled, func(*store.Submission) {}, ""},
		"retry failed": {(*queue).exhausted, func(c *store.Submission) { c.RetryFailed = true }, ""},
		"refresh":      {(*queue).complete, func(c *store.Submission) { c.Refresh = true }, `"done"`},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := way.old(q)
				q.set(k.ref, "created_at", q.ago(time.Hour), "retry_count", 2, "lost_count", 1, "delivery", 5, "progress", `{"c":1}`)
				old := q.info(k.ref)
				c := q.submission()
				c.Policy.MaxRetries, c.Policy.Backoff = 9, "new"
				way.submit(&c)

				s := q.submit(k.ref, c)
				require.True(q, s.Starts)
				require.Equal(q, way.result, string(s.Result), "served until there is a new one")
				info := q.info(k.ref)
				require.Equal(q, refcache.Pending, info.Status)
				require.Equal(q, []int{2, 0, 0, 0}, []int{info.Cycle, info.Attempt, info.RetryCount, info.LostCount})
				require.Equal(q, 6, s.Delivery, "R13")
				require.Equal(q, 9, info.MaxRetries)
				require.Equal(q, "new", s.Policy.Backoff)
				require.True(q, info.CreatedAt.Equal(old.CreatedAt), "set once in a record's life")
				require.Equal(q, old.RetryHistory, info.RetryHistory)
				require.Equal(q, old.Events, info.Events)
				require.Empty(q, fmt.Sprint(info.LastError, info.ErrorCause, info.Error))
				require.Nil(q, info.StartedAt)
				require.Nil(q, info.CompletedAt)
				require.Nil(q, info.ExpiresAt)
				require.Nil(q, info.Progress)
				require.WithinDuration(q, q.now(), s.UpdatedAt, soon)
				require.Equal(q, time.Duration(-1), q.rdb.PTTL(q.Context(), q.record(k.ref)).Val())
				q.sound(k.ref)
			})
		})
	}
}

func TestNewLifeUnderTheDefaultPolicyForgetsTheOldOne(t *testing.T) {
	onBoth(t, func(q *queue) {
		ref, c := q.ref(), q.submission()
		c.Policy = refcache.Policy{Name: "f", Version: 1, Queue: q.name, MaxRetries: 9, RetryDelay: 1, BackoffFactor: 3, RetryMaxDelay: 1,
			RetryJitter: 0.5, Backoff: "b", Timeout: 1, TTL: time.Hour, FailureTTL: time.Hour}
		k := q.cancel(task{ref: ref, seen: q.submit(ref, c).Record})
		require.True(q, q.submit(k.ref, q.submission()).Starts)
		want := q.policy()
		want.AsyncTimeout, want.FailureAnswer = 0, refcache.FailureAnswer{}
		require.Equal(q, want, q.read(k.ref).Policy)
	})
}

func TestResendOfASubmitSaysWhatTheFirstCopySaid(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.complete()
		c := q.submission()
		c.Refresh = true
		require.True(q, q.submit(k.ref, c).Starts)
		require.True(q, q.submit(k.ref, c).Starts, "else the caller would be answered with the old result")
		require.False(q, q.submit(k.ref, q.submission()).Starts)
		require.Equal(q, 2, q.read(k.ref).Cycle)
	})
}

func TestOldResultIsServedUntilTheRefreshEnds(t *testing.T) {
	for name, end := range map[string]struct {
		end    func(q *queue, k task)
		result any
	}{
		"complete":  {func(q *queue, k task) { q.end(k, q.Completed([]byte(`"new"`))) }, []byte(`"new"`)},
		"failed":    {func(q *queue, k task) { q.end(k, store.Errored(permanent())) }, []byte(`"done"`)},
		"cancelled": {func(q *queue, k task) { q.cancel(k) }, []byte(`"done"`)},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := q.complete()
				c := q.submission()
				c.Refresh = true
				q.submit(k.ref, c)
				for _, step := range []func(){
					func() {},
					func() { k = q.start(k) },
					func() { k = q.end(k, store.Errored(failure())) },
					func() { k = q.start(k) },
				} {
					step()
					_, result, err := q.Result(q.Context(), k.ref, "")
					require.NoError(q, err)
					require.Equal(q, `"done"`, string(result))
				}
				end.end(q, k)
				_, result, err := q.Result(q.Context(), k.ref, "")
				require.NoError(q, err)
				require.Equal(q, end.result, result)
				q.sound(k.ref)
			})
		})
	}
}

func TestRefreshJoinsTheRunThatIsUnderWay(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		c := q.submission()
		c.Refresh, c.RetryFailed = true, true
		s := q.submit(k.ref, c)
		require.False(q, s.Starts)
		require.Equal(q, refcache.Processing, s.Status)
	})
}

func TestExpiredTaskIsForgottenByTheNextSubmit(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.failed()
		require.NoError(q, q.rdb.Del(q.Context(), q.record(k.ref)).Err()) // as its expiry does
		s := q.submit(k.ref, q.submission())
		require.True(q, s.Starts)
		require.Equal(q, []int{1, 1}, []int{s.Cycle, s.Delivery})
		require.Empty(q, q.info(k.ref).RetryHistory)
	})
}
