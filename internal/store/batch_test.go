package store_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func TestManySubmitsAreAnsweredAsEachWouldBe(t *testing.T) {
	onBoth(t, func(q *queue) {
		fresh, running := q.ref(), q.ref()
		q.submit(running, q.submission())
		done, failed := q.complete().ref, q.failed().ref
		again := q.submission()
		again.RetryFailed = true
		first := q.submission()
		calls := []store.Call{{Ref: fresh, Submission: first}, {Ref: running, Submission: q.submission()},
			{Ref: fresh, Submission: q.submission()}, {Ref: done, Submission: q.submission()},
			{Ref: failed, Submission: q.submission()}, {Ref: failed, Submission: again}, {Ref: fresh, Submission: first}}
		answers := q.SubmitMany(q.Context(), calls)
		require.Len(q, answers, len(calls))
		var starts []bool
		var statuses []refcache.Status
		for i, a := range answers {
			require.NoError(q, a.Err)
			require.Equal(q, calls[i].Ref, a.Ref)
			starts, statuses = append(starts, a.Starts), append(statuses, a.Status)
		}
		require.Equal(q, []bool{true, false, false, false, false, true, true}, starts, "the last is a resend of the first")
		require.Equal(q, []refcache.Status{refcache.Pending, refcache.Pending, refcache.Pending, refcache.Complete,
			refcache.Failed, refcache.Pending, refcache.Pending}, statuses)
		require.Equal(q, `"done"`, string(answers[3].Result))
		require.Equal(q, 1, q.read(fresh).Delivery)
		q.sound(fresh)
	})
}

func TestManySubmitsMeetAServerWithoutScripts(t *testing.T) {
	onBoth(t, func(q *queue) {
		calls := []store.Call{{Ref: q.ref(), Submission: q.submission()}, {Ref: q.ref(), Submission: q.submission()},
			{Ref: q.ref(), Submission: q.submission()}}
		for range 2 {
			require.NoError(q, q.rdb.ScriptFlush(q.Context()).Err())
			for i, a := range q.SubmitMany(q.Context(), calls) {
				require.NoError(q, a.Err)
				require.Equal(q, calls[i].Ref, a.Ref)
				require.True(q, a.Starts)
			}
		}
	})
}

func TestADamagedRecordAmongManySpoilsNoOtherSubmit(t *testing.T) {
	onBoth(t, func(q *queue) {
		calls := []store.Call{{Ref: q.ref(), Submission: q.submission()}, {Ref: q.ref(), Submission: q.submission()},
			{Ref: q.ref(), Submission: q.submission()}}
		require.NoError(q, q.rdb.Set(q.Context(), q.record(calls[1].Ref), "text", 0).Err())
		answers := q.SubmitMany(q.Context(), calls)
		require.True(q, answers[0].Starts)
		require.ErrorIs(q, answers[1].Err, refcache.ErrUnreadable)
		require.True(q, answers[2].Starts)
	})
}

func TestASubmitAmongManyThatRedisRefusesForNowIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, server := bubble(t)
		calls := []store.Call{{Ref: q.ref(), Submission: q.submission()}, {Ref: q.ref(), Submission: q.submission()},
			{Ref: q.ref(), Submission: q.submission()}}
		q.SubmitMany(q.Context(), []store.Call{{Ref: q.ref(), Submission: q.submission()}}) // the script is loaded by now
		n := 0
		server.SetFaults(func(cmd []string) memredis.Fault {
			if n++; n == 2 {
				return "READONLY You can't write against a read only replica."
			}
			return memredis.Pass
		})
		for _, a := range q.SubmitMany(q.Context(), calls) {
			require.NoError(q, a.Err)
			require.True(q, a.Starts)
		}
		require.Equal(q, 4, n, "the others are not")

		server.SetFaults(func(cmd []string) memredis.Fault { return "OOM command not allowed" })
		for _, a := range q.SubmitMany(q.Context(), calls) {
			require.ErrorContains(q, a.Err, ": OOM")
		}
	})
}

func TestManySubmitsInAClusterWithoutScripts(t *testing.T) {
	t.Parallel()
	node := testkit.New(t, "--cluster-enabled", "yes")
	plain := redis.NewClient(testkit.Options(node.Addr))
	defer plain.Close()
	require.NoError(t, plain.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	for !strings.Contains(plain.ClusterInfo(t.Context()).Val(), "cluster_state:ok") {
		require.NoError(t, t.Context().Err())
	}
	rdb, err := refq.Connect(node.Addr + ",")
	require.NoError(t, err)
	defer rdb.Close()
	q := newQueue(t, rdb)
	for range 2 {
		require.NoError(t, plain.ScriptFlush(t.Context()).Err())
		var calls []store.Call
		for range 100 {
			calls = append(calls, store.Call{Ref: q.ref(), Submission: q.submission()})
		}
		for i, a := range q.SubmitMany(t.Context(), calls) {
			require.NoError(t, a.Err)
			require.Equal(t, calls[i].Ref, a.Ref)
			require.True(t, a.Starts)
		}
	}
	require.EqualValues(t, 200, rdb.ZCard(t.Context(), q.index(refcache.Pending)).Val())
}
