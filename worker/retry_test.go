package worker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// requireOnTime checks waits before retries: never early, jitter at most a tenth, at most about 2 s late.
func requireOnTime(t require.TestingT, want, got []time.Duration) {
	require.Len(t, got, len(want))
	for i, delay := range want {
		require.GreaterOrEqual(t, got[i], delay, "retry %d is early", i+1)
		require.LessOrEqual(t, got[i], delay+delay/10+2500*time.Millisecond, "retry %d is late", i+1)
	}
}

func TestFailedAttemptsAreRetriedAfterGrowingDelays(t *testing.T) {
	inWorld(t, func(w *world) {
		flaky := failing(3)
		w.start(worker.Config{}, handles(work, flaky.run))
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, "done", res.Value)
		require.Equal(w, []int{4, 3, 3}, []int{res.Attempt, res.RetryCount, res.MaxRetries})
		requireOnTime(w, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, flaky.gaps())
	})
}
