package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func TestClaimTellsSinceWhenTheTaskCouldBeClaimed(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		q.set(k.ref, "created_at", q.ago(time.Hour))
		answer := q.claim(k.ref, "t1", "w1")
		require.Zero(q, answer.Due)
		require.InDelta(q, time.Hour, answer.Record.StartedAt.Sub(answer.Ready()), float64(soon))

		retry := q.retrying(time.Hour)
		q.due(retry.ref, time.Minute)
		answer = q.claim(retry.ref, "t2", "w1")
		require.InDelta(q, time.Minute, answer.Record.StartedAt.Sub(answer.Due), float64(soon))
		require.Equal(q, answer.Due, answer.Ready())
		again := q.claim(retry.ref, "t2", "w1")
		require.True(q, again.Run)
		require.Zero(q, again.Due, "a resend no longer knows")
	})
}

func TestTheTraceOfACallStaysWithItsLife(t *testing.T) {
	onBoth(t, func(q *queue) {
		traced := q.submission()
		traced.Trace = "00-11112222333344445555666677778888-1111222233334444-01"
		k := task{ref: q.ref()}
		q.submit(k.ref, traced)
		joins := q.submission()
		joins.Trace = "another"
		q.submit(k.ref, joins)
		answer := q.claim(k.ref, "t1", "w1")
		require.Equal(q, traced.Trace, answer.Trace)
		require.Equal(q, traced.Trace, q.claim(k.ref, "t1", "w1").Trace, "a resend gets the first answer again")
		q.sound(k.ref)

		_, err := q.Finish(q.Context(), k.ref, "t1", store.Errored(permanent()))
		require.NoError(q, err)
		anew := q.submission()
		anew.RetryFailed = true
		require.True(q, q.submit(k.ref, anew).Starts)
		require.Empty(q, q.claim(k.ref, "t2", "w1").Trace, "it is that of the new life, which has none")
		require.NotContains(q, q.hash(k.ref), "trace")
	})
}

func TestErrorsAreCountedByWhatWasDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, server := bubble(t)
		k := q.pending()
		_, err := q.Read(q.Context(), q.ref())
		require.ErrorIs(q, err, refcache.ErrTaskNotFound)
		damaged := q.pending()
		q.set(damaged.ref, "created_at", "long ago")
		_, err = q.Claim(q.Context(), damaged.ref, "t", "w")
		require.ErrorIs(q, err, store.ErrDamaged)
		gone, cancel := context.WithCancel(q.Context())
		cancel()
		_, err = q.Read(gone, k.ref)
		require.Error(q, err)
		require.Empty(q, q.ErrorCounts(), "none of these is Redis's fault")

		server.SetFaults(func(cmd []string) memredis.Fault { return "ERR no" })
		other := q.Over(q.rdb)
		for range 2 {
			_, err = other.Heartbeat(q.Context(), q.name, store.Beat{Worker: "w"})
			require.Error(q, err)
		}
		_, err = q.Claim(q.Context(), k.ref, "t", "w")
		require.Error(q, err)
		_, err = q.Sizes(q.Context(), q.name)
		require.Error(q, err)
		require.Error(q, q.AddQueue(q.Context(), q.name))
		q.CountError("enqueue", errors.New("no"))
		q.CountError("enqueue", nil)
		require.Equal(q, map[string]int64{"heartbeat": 2, "claim": 1, "sizes": 1, "note_queue": 1, "enqueue": 1}, q.ErrorCounts())
	})
}
