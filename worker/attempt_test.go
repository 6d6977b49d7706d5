package worker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestAFirstAttemptIsClaimedWithItsDoorbell(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := failing(1)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		claims := w.count("claim")
		ref := w.submit(work, "in")
		time.Sleep(500 * time.Millisecond)
		require.Equal(w, refcache.Retrying, w.info(ref).Status)
		require.Zero(w, claims.Load())
		w.await(ref, refcache.Complete)
		require.NotZero(w, claims.Load(), "a retry is claimed apart")
	})
}

// Something that asynq cannot read is in its way: it hands the doorbell to nobody.
func TestAClaimedAttemptWhoseDoorbellAsynqKeepsIsHandedBack(t *testing.T) {
	inHouse(t, func(w *house) {
		ref := w.submit(work, "in")
		key := "asynq:{default}:t:" + string(ref)
		message := w.Redis.HGet(w.Context(), key, "msg").Val()
		require.NoError(w, w.Redis.HSet(w.Context(), key, "msg", message+"\xff").Err())
		fn := failing(0)
		start := time.Now()
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		info := w.await(ref, refcache.Complete)
		require.Equal(w, 1, fn.count())
		require.Less(w, fn.at(1).Sub(start), 3*time.Second)
		require.Equal(w, 1, info.Attempt, "it was taken back")
		require.Zero(w, info.LostCount)
		require.Zero(w, info.RetryCount)
		require.Equal(w, refcache.EventHandedBack, info.Events[len(info.Events)-1].Kind)
	})
}
