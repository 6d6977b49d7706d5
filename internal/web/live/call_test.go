package live_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestACallIsFollowedThroughItsProgressToItsEndOfWhichIsHeardAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		end := make(chan struct{})
		w.work(func(ctx context.Context) error {
			worker.ReportProgress(ctx, 1, 2, "half")
			<-end
			return nil
		})
		v := w.calls.Watch(w.submit())
		defer v.Leave()
		for {
			if call, _ := w.next(v); call.Progress != nil {
				require.Equal(w, "half", call.Progress.Message)
				break
			}
		}
		time.Sleep(10*time.Second + 100*time.Millisecond) // between two looks
		close(end)
		call, took := w.next(v)
		require.Equal(w, refcache.Complete, call.Status)
		require.Equal(w, "1", string(call.Value))
		require.Less(w, took, 50*time.Millisecond)
	})
}

func TestACallThatHasEndedIsSeenToRunAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		hold := make(chan struct{})
		w.work(func(context.Context) error { <-hold; return errDown })
		ref := w.submit()
		v := w.calls.Watch(ref)
		defer v.Leave()
		close(hold)
		first := w.until(v, refcache.Failed)
		hold = make(chan struct{})
		_, err := w.a.Retry(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrRetriesExhausted)
		time.Sleep(time.Minute)
		_, err = w.a.As("ann").Retry(w.Context(), ref, fresh())
		require.NoError(w, err)
		call, took := w.next(v)
		require.NotEqual(w, refcache.Failed, call.Status)
		require.LessOrEqual(w, took, 2*time.Second)
		close(hold)
		second := w.until(v, refcache.Failed)
		require.True(w, second.CompletedAt.After(*first.CompletedAt))
	})
}

func TestACallThatIsDeletedIsNotFoundAndSeenWhenItIsMadeAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit()
		v := w.calls.Watch(ref)
		defer v.Leave()
		w.until(v, refcache.Pending)
		require.NoError(w, w.p.Cancel(w.Context(), ref))
		w.until(v, refcache.Cancelled)
		require.NoError(w, w.p.Delete(w.Context(), ref))
		call, _ := w.next(v)
		require.ErrorIs(w, call.Err, refcache.ErrTaskNotFound)
		time.Sleep(time.Minute)
		w.submit()
		call, took := w.next(v)
		require.NoError(w, call.Err)
		require.Equal(w, refcache.Pending, call.Status)
		require.LessOrEqual(w, took, 2*time.Second)
	})
}

func TestAnOutageOfRedisIsNoChangeAndItsEndIsSeen(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit()
		v := w.calls.Watch(ref)
		defer v.Leave()
		w.until(v, refcache.Pending)
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR out of order" })
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		_, err := v.Next(ctx)
		require.ErrorIs(w, err, context.DeadlineExceeded)
		w.Server.SetFaults(nil)
		require.NoError(w, w.p.Cancel(w.Context(), ref))
		w.until(v, refcache.Cancelled)
	})
}

func TestHoweverManyWatchACallItIsLookedAtOnceOverOneSubscription(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit()
		sent := func(viewers int) (commands int64) {
			n, subscriptions := w.countSent()
			var all []*live.Viewer[live.Call]
			for range viewers {
				v := w.calls.Watch(ref)
				all = append(all, v)
				w.next(v)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(w, 1, w.calls.Watched())
			require.LessOrEqual(w, subscriptions.Load(), int64(1))
			for _, v := range all {
				v.Leave()
			}
			return n.Load()
		}
		one, many := sent(1), sent(200)
		require.InDelta(w, one, many, 10)
		require.Less(w, one, int64(300), "each 500 ms, and the producer's own looks")
	})
}
