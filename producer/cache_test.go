package producer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestResultLivesForItsTTLHoweverOftenItIsRead(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{numbered: true}
		w.start(s.of(echo))
		f := echo
		f.TTL = 20 * time.Second
		res, err := w.call(f, "hi")
		require.NoError(w, err)
		require.Equal(w, f.TTL, res.ExpiresAt.Sub(*res.CompletedAt))
		for range 4 {
			time.Sleep(4900 * time.Millisecond)
			again, err := w.call(f, "hi")
			require.NoError(w, err)
			require.Equal(w, res, again)
		}
		time.Sleep(401 * time.Millisecond)
		_, err = w.p.Get(w.Context(), res.RefID)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)

		again, err := w.call(f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi 2", again.Value)
		require.Equal(w, res.RefID, again.RefID)
		require.True(w, again.CreatedAt.After(res.CreatedAt))
	})
}

func TestTaskInFlightDoesNotExpire(t *testing.T) {
	inWorld(t, func(w *world) {
		f := echo
		f.TTL, f.FailureTTL = time.Second, time.Second
		ref := w.submit(f, "hi")
		time.Sleep(1000 * time.Hour)
		info := w.info(ref)
		require.Equal(w, refcache.Pending, info.Status)
		require.Nil(w, info.ExpiresAt)
	})
}

func TestFirstSubmittersPolicyStands(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit(once(echo), "hi")
		require.Equal(w, ref, w.submit(echo, "hi"))
		require.Zero(w, w.info(ref).MaxRetries)
	})
}

func TestNamespacesAndVersionsKeepTheirResultsApart(t *testing.T) {
	inWorld(t, func(w *world) {
		s, second := script{numbered: true}, echo
		second.Version = 2
		w.start(s.of(echo), s.of(second))
		shop := w.producer(producer.Config{Namespace: "shop"})
		ours, err := w.call(echo, "hi")
		require.NoError(w, err)
		theirs, err := producer.Call(w.Context(), shop, echo, "hi")
		require.NoError(w, err)
		newer, err := w.call(second, "hi")
		require.NoError(w, err)
		require.Equal(w, []string{"hi 1", "hi 2", "hi 3"}, []string{ours.Value, theirs.Value, newer.Value})
		require.Equal(w, []string{"default", "shop"}, []string{w.info(ours.RefID).Namespace, w.info(theirs.RefID).Namespace})
		require.Equal(w, []int{1, 2}, []int{w.info(ours.RefID).Version, w.info(newer.RefID).Version})
	})
}

func TestCachedCarriesItsOptions(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{numbered: true}
		w.start(s.of(echo))
		refreshed := producer.Cached(w.p, echo, producer.Refresh())
		for _, want := range []string{"hi 1", "hi 2", "hi 3"} {
			value, err := refreshed(w.Context(), "hi")
			require.NoError(w, err)
			require.Equal(w, want, value)
		}
	})
}

func TestRetryFailedLeavesAloneWhatHasNotFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{numbered: true}
		w.start(s.of(echo))
		for range 2 {
			res, err := w.call(echo, "hi", producer.RetryFailed())
			require.NoError(w, err)
			require.Equal(w, "hi 1", res.Value)
		}
	})
}

func TestRefreshLeavesAloneWhatHasFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown}}
		w.start(s.of(echo))
		for range 2 {
			_, err := w.call(once(echo), "hi", producer.Refresh())
			require.Equal(w, 1, taskError(w, err).Cycle)
		}
		require.EqualValues(w, 1, s.runs.Load())
	})
}

// refreshing returns the ref_id of a call that is complete and runs again, held.
func refreshing(w *world, s *script) refcache.Ref {
	w.Helper()
	first := make(chan struct{}, 1)
	first <- struct{}{}
	s.hold, s.numbered = first, true
	w.start(s.of(echo))
	res, err := w.call(echo, "hi")
	require.NoError(w, err)
	require.Equal(w, "hi 1", res.Value)
	w.submit(echo, "hi", producer.Refresh())
	w.until(res.RefID, refcache.Processing)
	return res.RefID
}

func TestEveryCallThatAsksForARefreshWaitsForIt(t *testing.T) {
	inWorld(t, func(w *world) {
		var s script
		refreshing(w, &s)
		asked := make(chan refcache.Response[string], 1)
		go func() {
			res, err := w.call(echo, "hi", producer.Refresh())
			require.NoError(w, err)
			asked <- res
		}()
		time.Sleep(time.Second)
		require.Empty(w, asked, "somebody else has started it, but it asked as well")
		s.hold <- struct{}{}
		require.Equal(w, "hi 2", (<-asked).Value)
	})
}

func TestRefreshThatTakesLongerThanTheCallerWaitsShowsTheOldValue(t *testing.T) {
	inWorld(t, func(w *world) {
		var s script
		refreshing(w, &s)
		f := echo
		f.AsyncTimeout = 3 * time.Second
		began := time.Now()
		res, err := w.call(f, "hi", producer.Refresh())
		require.NoError(w, err)
		require.Equal(w, 3*time.Second, time.Since(began))
		require.Equal(w, refcache.Processing, res.Status)
		require.True(w, res.IsAsync && res.HasValue)
		require.False(w, res.IsComplete)
		require.Equal(w, "hi 1", res.Value)
	})
}

func TestOldValueIsServedWhileARefreshIsRetried(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{nil, errDown, nil}}
		ref := refreshing(w, &s)
		s.hold <- struct{}{}
		w.until(ref, refcache.Retrying)
		res, err := w.call(echo, "hi")
		require.NoError(w, err)
		require.Equal(w, refcache.Retrying, res.Status)
		require.Equal(w, "hi 1", res.Value)
		s.hold <- struct{}{}
		require.Equal(w, 2, w.until(ref, refcache.Complete).Cycle)
		res, err = w.call(echo, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi 3", res.Value)
	})
}

func TestCancelledRefreshDropsTheOldValue(t *testing.T) {
	inWorld(t, func(w *world) {
		var s script
		ref := refreshing(w, &s)
		require.NoError(w, w.p.Cancel(w.Context(), ref))
		res, err := w.p.Get(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, refcache.Cancelled, res.Status)
		require.False(w, res.HasValue)
	})
}

func TestRefIDStaysTheSameThroughout(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{worker.Permanent(errDown), worker.Permanent(errDown), nil, nil}, numbered: true}
		w.start(s.of(echo))
		_, err := w.call(echo, "hi")
		ref := taskError(w, err).RefID
		res, err := w.p.Retry(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, ref, res.RefID)
		w.until(ref, refcache.Failed)
		again, err := w.call(echo, "hi", producer.RetryFailed())
		require.NoError(w, err)
		require.Equal(w, ref, again.RefID)
		again, err = w.call(echo, "hi", producer.Refresh())
		require.NoError(w, err)
		require.Equal(w, ref, again.RefID)
		require.Equal(w, "hi 4", again.Value)
		require.NoError(w, w.p.Delete(w.Context(), ref))
		require.Equal(w, ref, w.submit(echo, "hi"))
	})
}
