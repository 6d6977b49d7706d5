package store_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func TestClaimStartsAnAttempt(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		answer := q.claim(k.ref, "t1", "w1")
		require.True(q, answer.Run)
		require.Equal(q, `{"n":1}`, string(answer.Args))
		r := answer.Record
		require.Equal(q, refcache.Processing, r.Status)
		require.Equal(q, "w1", r.Worker)
		require.Equal(q, []int{1, 1, 0, 1}, []int{r.Cycle, r.Attempt, r.RetryCount, r.Delivery})
		require.True(q, r.StartedAt.Equal(r.ReadAt))
		require.Equal(q, k.seen.Policy, r.Policy)
		require.Equal(q, "t1", q.hash(k.ref)["token"])
		require.Equal(q, map[string]string{k.ref.Hash(): "t1"}, q.rdb.HGetAll(q.Context(), q.claims("w1")).Val())
		q.sound(k.ref)
	})
}

func TestClaimOfARetryWaitsUntilItIsDue(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.retrying(time.Hour)
		before := q.dump()
		answer := q.claim(k.ref, "t2", "w2")
		require.False(q, answer.Run)
		require.InDelta(q, time.Hour, answer.Later, float64(soon))
		require.LessOrEqual(q, answer.Later, time.Hour)
		require.Equal(q, before, q.dump())

		q.due(k.ref, 0)
		answer = q.claim(k.ref, "t2", "w2")
		require.True(q, answer.Run)
		require.Equal(q, []int{2, 1}, []int{answer.Record.Attempt, answer.Record.RetryCount})
		q.sound(k.ref)
	})
}

func TestRetryIsNeverEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		k := q.retrying(1500 * time.Millisecond)
		time.Sleep(1499 * time.Millisecond)
		require.Equal(t, time.Millisecond, q.claim(k.ref, "t2", "w1").Later)
		time.Sleep(time.Millisecond)
		require.True(t, q.claim(k.ref, "t2", "w1").Run)
	})
}

func TestClaimForgetsWhatTheLastAttemptLeft(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		_, err := q.Progress(q.Context(), k.ref, k.token, refcache.Progress{Current: 1})
		require.NoError(q, err)
		f := failure()
		f.Note = "backoff unknown"
		k = q.end(k, store.Errored(f))
		require.Equal(q, "backoff unknown", k.seen.Note)
		require.NotNil(q, k.seen.Progress)
		k = q.start(k)
		require.Empty(q, k.seen.Note)
		require.Nil(q, k.seen.Progress)
		require.Equal(q, "boom", k.seen.LastError, "stays until the end")
		require.Empty(q, k.seen.Error(), "the task has not failed")
	})
}

func TestRepeatedClaimGetsTheFirstAnswer(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		before := q.dump()
		again := q.claim(k.ref, k.token, k.worker)
		require.True(q, again.Run)
		require.Equal(q, `{"n":1}`, string(again.Args))
		again.Record.ReadAt = k.seen.ReadAt
		require.Equal(q, k.seen, again.Record)
		require.Equal(q, before, q.dump())
	})
}

func TestLateClaimOfAnAttemptThatIsOverStartsNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		for name, k := range map[string]task{
			"failed, to be retried": q.retrying(0),
			"handed back":           q.end(q.processing(), store.Released("", "w1")),
			"complete":              q.complete(),
			"failed":                q.failed(),
			"cancelled":             q.cancelled(),
			"another runs":          {ref: q.start(q.retrying(0)).ref, token: "old", worker: "w1"},
		} {
			before := q.dump()
			answer := q.claim(k.ref, k.token, k.worker)
			require.False(q, answer.Run, name)
			require.Zero(q, answer.Later, name)
			require.Equal(q, before, q.dump(), name)
		}
	})
}

// A copy that stays in the network for long must not start an attempt that nobody waits for, so the client sends none.
func TestClaimIsNotSentAgainWhenItsReplyIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, server := bubble(t)
		q.end(q.processing(), q.Completed(nil)) // the script is loaded by now
		k := q.pending()
		sent := 0
		server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVALSHA" {
				sent++
				return memredis.DropReply
			}
			return memredis.Pass
		})
		_, err := q.Claim(t.Context(), k.ref, "t2", "w1")
		require.Error(t, err)
		require.Equal(t, 1, sent)
		server.SetFaults(nil)
		require.Equal(t, refcache.Processing, q.read(k.ref).Status)
		beaten, err := q.Heartbeat(t.Context(), q.name, store.Beat{Worker: "w1"})
		require.NoError(t, err)
		require.Equal(t, []store.Claim{{Ref: k.ref, Token: "t2"}}, beaten.Unknown, "the beat finds it")
	})
}

func TestClaimEndsWithItsContext(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		ctx, cancel := context.WithCancel(q.Context())
		cancel()
		_, err := q.Claim(ctx, k.ref, "t1", "w1")
		require.ErrorIs(q, err, context.Canceled)
		require.ErrorContains(q, err, "claim "+string(k.ref))
	})
}

func TestProgressIsKeptForTheAttemptThatRuns(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		current, err := q.Progress(q.Context(), k.ref, k.token, refcache.Progress{Current: 3, Total: 12, Message: "page 3"})
		require.NoError(q, err)
		require.True(q, current)
		require.Equal(q, &refcache.Progress{Current: 3, Total: 12, Message: "page 3", Percentage: new(25.0)}, q.read(k.ref).Progress)

		for _, report := range []struct {
			sent refcache.Progress
			want *float64
		}{
			{refcache.Progress{Current: 15, Total: 12}, new(100.0)},
			{refcache.Progress{Current: -1, Total: 12}, new(0.0)},
			{refcache.Progress{Current: 5}, nil},
			{refcache.Progress{}, nil},
		} {
			_, err = q.Progress(q.Context(), k.ref, k.token, report.sent)
			require.NoError(q, err)
			require.Equal(q, report.want, q.read(k.ref).Progress.Percentage)
		}

		before := q.dump()
		current, err = q.Progress(q.Context(), k.ref, "other", refcache.Progress{Current: 9})
		require.NoError(q, err)
		require.False(q, current)
		require.Equal(q, before, q.dump())
	})
}

// In a rolling update there are records that only the newer workers can read.
func TestRecordNewerThanTheWorkerIsLeftToOthers(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		q.set(k.ref, "v", store.RecordVersion+1)
		before := q.hash(k.ref)
		answer, err := q.Claim(q.Context(), k.ref, "t1", "w1")
		require.NoError(q, err)
		require.False(q, answer.Run)
		require.Equal(q, 5*time.Second, answer.Later)
		require.Equal(q, before, q.hash(k.ref))
	})
}

func TestSuspectIsNotClaimedBesideAnother(t *testing.T) {
	onBoth(t, func(q *queue) {
		for lost, later := range []time.Duration{0, 0, time.Second, time.Second} {
			k := q.pending()
			q.set(k.ref, "lost_count", lost)
			before := q.hash(k.ref)
			answer, err := q.ClaimUnsuspected(q.Context(), k.ref, "t1", "w1", "")
			require.NoError(q, err)
			require.Equal(q, later, answer.Later)
			require.Equal(q, later == 0, answer.Run)
			require.Equal(q, later > 0, answer.Suspect)
			if later > 0 {
				require.Equal(q, before, q.hash(k.ref))
				answer, err = q.Claim(q.Context(), k.ref, "t1", "w1")
				require.NoError(q, err)
				require.True(q, answer.Run)
			}
		}
	})
}
