package refcache_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

func TestRefusalsSayWhatToDo(t *testing.T) {
	require.EqualError(t, refcache.ErrNotQueued, "stored, not queued; calling again or a worker's sweep queues it")
	require.EqualError(t, refcache.ErrRetriesExhausted, "retries exhausted: use a fresh budget (FreshBudget, --fresh, ?fresh=true)")
	require.EqualError(t, refcache.ErrInFlight, "task is in flight: cancel it first")
}

func TestSentinelsAreToldApart(t *testing.T) {
	sentinels := []error{refcache.ErrTaskNotFound, refcache.ErrNotFailed, refcache.ErrRetriesExhausted, refcache.ErrNotCancellable,
		refcache.ErrInFlight, refcache.ErrArgsTooLarge, refcache.ErrInvalidRef, refcache.ErrNotCached, refcache.ErrKeyConflict,
		refcache.ErrTooManyWaiting, refcache.ErrNotQueued}
	for i, err := range sentinels {
		for j, other := range sentinels {
			require.Equal(t, i == j, errors.Is(fmt.Errorf("retry x: %w", err), other), "%v and %v", err, other)
		}
	}
}

func TestStatusesAreInFlightOrFinal(t *testing.T) {
	for _, s := range []refcache.Status{refcache.Waiting, refcache.Pending, refcache.Processing, refcache.Retrying} {
		require.True(t, s.InFlight() && !s.IsFinal(), s)
	}
	for _, s := range []refcache.Status{refcache.Complete, refcache.Failed, refcache.Cancelled} {
		require.True(t, s.IsFinal() && !s.InFlight(), s)
	}
	require.False(t, refcache.Status("").IsFinal() || refcache.Status("").InFlight())
	require.Len(t, refcache.Statuses, 7)
}
