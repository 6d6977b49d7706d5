package producer_test

import (
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestResultLivesForItsTTLHoweverOftenItIsRead(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		f := kit.Echo
		f.TTL = 20 * time.Second
		res, err := w.Call(f, "hi")
		require.NoError(w, err)
		require.Equal(w, f.TTL, res.ExpiresAt.Sub(*res.CompletedAt))
		for range 4 {
			time.Sleep(4900 * time.Millisecond)
			again, err := w.Call(f, "hi")
			require.NoError(w, err)
			require.Equal(w, kit.Told(res), kit.Told(again))
			require.Equal(w, refcache.CacheHit, again.Cache)
		}
		time.Sleep(401 * time.Millisecond)
		_, err = w.P.Get(w.Context(), res.RefID)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)

		again, err := w.Call(f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi 2", again.Value)
		require.Equal(w, res.RefID, again.RefID)
		require.True(w, again.CreatedAt.After(res.CreatedAt))
	})
}

func TestTaskInFlightDoesNotExpire(t *testing.T) {
	inOffice(t, func(w *office) {
		f := kit.Echo
		f.TTL, f.FailureTTL = time.Second, time.Second
		ref := w.Submit(f, "hi")
		time.Sleep(1000 * time.Hour)
		info := w.Info(ref)
		require.Equal(w, refcache.Pending, info.Status)
		require.Nil(w, info.ExpiresAt)
	})
}

func TestFirstSubmittersPolicyStands(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Once(kit.Echo), "hi")
		require.Equal(w, ref, w.Submit(kit.Echo, "hi"))
		require.Zero(w, w.Info(ref).MaxRetries)
	})
}

func TestNamespacesAndVersionsKeepTheirResultsApart(t *testing.T) {
	inOffice(t, func(w *office) {
		s, second := kit.Script{Numbered: true}, kit.Echo
		second.Version = 2
		w.Work(s.Of(kit.Echo), s.Of(second))
		shop := w.NewProducer(producer.Config{Namespace: "shop"})
		ours, err := w.Call(kit.Echo, "hi")
		require.NoError(w, err)
		theirs, err := producer.Call(w.Context(), shop, kit.Echo, "hi")
		require.NoError(w, err)
		newer, err := w.Call(second, "hi")
		require.NoError(w, err)
		require.Equal(w, []string{"hi 1", "hi 2", "hi 3"}, []string{ours.Value, theirs.Value, newer.Value})
		of, err := shop.Info(w.Context(), theirs.RefID)
		require.NoError(w, err)
		require.Equal(w, []string{"default", "shop"}, []string{w.Info(ours.RefID).Namespace, of.Namespace})
		require.Equal(w, []int{1, 2}, []int{w.Info(ours.RefID).Version, w.Info(newer.RefID).Version})
	})
}

func TestCachedCarriesItsOptions(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		refreshed := producer.Cached(w.P, kit.Echo, producer.Refresh())
		for _, want := range []string{"hi 1", "hi 2", "hi 3"} {
			value, err := refreshed(w.Context(), "hi")
			require.NoError(w, err)
			require.Equal(w, want, value)
		}
	})
}

func TestRetryFailedLeavesAloneWhatHasNotFailed(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		for range 2 {
			res, err := w.Call(kit.Echo, "hi", producer.RetryFailed())
			require.NoError(w, err)
			require.Equal(w, "hi 1", res.Value)
		}
	})
}

func TestRefreshLeavesAloneWhatHasFailed(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown}}
		w.Work(s.Of(kit.Echo))
		for range 2 {
			_, err := w.Call(kit.Once(kit.Echo), "hi", producer.Refresh())
			require.Equal(w, 1, kit.TaskError(w, err).Cycle)
		}
		require.EqualValues(w, 1, s.Runs.Load())
	})
}

// refreshing returns the ref_id of a call that is complete and runs again, held.
func refreshing(w *office, s *kit.Script) refcache.Ref {
	w.Helper()
	first := make(chan struct{}, 1)
	first <- struct{}{}
	s.Hold, s.Numbered = first, true
	w.Work(s.Of(kit.Echo))
	res, err := w.Call(kit.Echo, "hi")
	require.NoError(w, err)
	require.Equal(w, "hi 1", res.Value)
	w.Submit(kit.Echo, "hi", producer.Refresh())
	w.Until(res.RefID, refcache.Processing)
	return res.RefID
}

func TestEveryCallThatAsksForARefreshWaitsForIt(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		refreshing(w, &s)
		asked := make(chan refcache.Response[string], 1)
		go func() {
			res, err := w.Call(kit.Echo, "hi", producer.Refresh())
			require.NoError(w, err)
			asked <- res
		}()
		time.Sleep(time.Second)
		require.Empty(w, asked, "somebody else has started it, but it asked as well")
		s.Hold <- struct{}{}
		require.Equal(w, "hi 2", (<-asked).Value)
	})
}

func TestRefreshThatTakesLongerThanTheCallerWaitsShowsTheOldValue(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		refreshing(w, &s)
		f := kit.Echo
		f.AsyncTimeout = 3 * time.Second
		began := time.Now()
		res, err := w.Call(f, "hi", producer.Refresh())
		require.NoError(w, err)
		require.Equal(w, 3*time.Second, time.Since(began))
		require.Equal(w, refcache.Processing, res.Status)
		require.True(w, res.IsAsync && res.HasValue)
		require.False(w, res.IsComplete)
		require.Equal(w, "hi 1", res.Value)
	})
}

func TestOldValueIsServedWhileARefreshIsRetried(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, kit.ErrDown, nil}}
		ref := refreshing(w, &s)
		s.Hold <- struct{}{}
		w.Until(ref, refcache.Retrying)
		res, err := w.Call(kit.Echo, "hi")
		require.NoError(w, err)
		require.Equal(w, refcache.Complete, res.Status)
		require.True(w, res.Refreshing)
		require.Equal(w, "hi 1", res.Value)
		s.Hold <- struct{}{}
		require.Equal(w, 2, w.Until(ref, refcache.Complete).Cycle)
		res, err = w.Call(kit.Echo, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi 3", res.Value)
	})
}

func TestCancelledRefreshLeavesTheOldValue(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		ref := refreshing(w, &s)
		require.NoError(w, w.P.Cancel(w.Context(), ref))
		res, err := w.P.Get(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, refcache.Complete, res.Status)
		require.Equal(w, refcache.StaleCancelled, res.StaleReason)
		require.True(w, res.HasValue)
	})
}

func TestRefIDStaysTheSameThroughout(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown), worker.Permanent(kit.ErrDown), nil, nil}, Numbered: true}
		w.Work(s.Of(kit.Echo))
		_, err := w.Call(kit.Echo, "hi")
		ref := kit.TaskError(w, err).RefID
		res, err := w.P.Retry(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, ref, res.RefID)
		w.Until(ref, refcache.Failed)
		again, err := w.Call(kit.Echo, "hi", producer.RetryFailed())
		require.NoError(w, err)
		require.Equal(w, ref, again.RefID)
		again, err = w.Call(kit.Echo, "hi", producer.Refresh())
		require.NoError(w, err)
		require.Equal(w, ref, again.RefID)
		require.Equal(w, "hi 4", again.Value)
		require.NoError(w, w.P.Delete(w.Context(), ref))
		require.Equal(w, ref, w.Submit(kit.Echo, "hi"))
	})
}
