package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var errBroken = errors.New("no licence server")

// broken is work on a worker that cannot run it while it is broken.
type broken struct {
	mended atomic.Bool
	asked  atomic.Int64
	lasts  time.Duration
}

func (b *broken) run(_ context.Context, in string) (string, error) {
	b.asked.Add(1)
	if b.mended.Load() {
		return in, nil
	}
	return "", worker.NotReady(errBroken, b.lasts)
}

func TestACallThatNobodyCanRunNowWaitsUncounted(t *testing.T) {
	inHouse(t, func(w *house) {
		b := broken{lasts: 30 * time.Second}
		w.Start(worker.Config{}, world.Handles(work, b.run))
		refs := make([]refcache.Ref, 10)
		for i := range refs {
			refs[i] = w.submit(work, string(rune('a'+i)))
		}
		time.Sleep(15 * time.Second)
		require.LessOrEqual(w, b.asked.Load(), int64(10), "what was under way when it was found out")
		for _, ref := range refs {
			info := w.info(ref)
			require.Equal(w, refcache.Pending, info.Status)
			require.Zero(w, info.Attempt)
			require.Zero(w, info.RetryCount)
			require.LessOrEqual(w, len(info.Events), 1)
			require.Equal(w, refcache.UnservedProgram, info.Unserved)
			response, err := w.p.Get(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, "no living worker can run work@1 now: no licence server, tried again in 15 s", response.Message)
		}
		require.Empty(w, w.Redis.SMembers(w.Context(), "refq:{default}:knows:work@1").Val())
		health, err := w.a.Health(w.Context())
		require.NoError(w, err)
		programs := slices.IndexFunc(health.Findings(), func(f monitor.Finding) bool { return f.ID == "programs" })
		require.Contains(w, health.Findings()[programs].Fact, "no worker can run work@1 on worker ")
		require.Equal(w, monitor.LevelWrong, health.Findings()[programs].Level)
		time.Sleep(40 * time.Second)
		ref := refs[0]
		require.LessOrEqual(w, len(w.info(ref).Events), 1, "in a row they are one")
		b.mended.Store(true)
		for _, ref := range refs {
			info := w.await(ref, refcache.Complete)
			require.Equal(w, 1, info.Attempt)
			require.Zero(w, info.RetryCount)
		}
		require.Len(w, w.Redis.SMembers(w.Context(), "refq:{default}:knows:work@1").Val(), 1)
	})
}

func TestWhoCanRunItStartsACallAtOnce(t *testing.T) {
	inHouse(t, func(w *house) {
		b := broken{}
		w.Start(worker.Config{}, world.Handles(work, b.run))
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		for i := range 20 {
			time.Sleep(700 * time.Millisecond)
			start := time.Now()
			ref := w.submit(work, string(rune('a'+i)))
			w.await(ref, refcache.Complete)
			require.Less(w, time.Since(start), 100*time.Millisecond)
		}
		require.LessOrEqual(w, b.asked.Load(), int64(4), "it is tried each 5 s")
		require.Equal(w, 20, fn.count())
	})
}

// After a flush workers tell anew what they know, and not what they cannot run.
func TestAFlushDoesNotMakeAWorkerReady(t *testing.T) {
	inHouse(t, func(w *house) {
		b := broken{lasts: time.Minute}
		w.Start(worker.Config{}, world.Handles(work, b.run))
		w.submit(work, "in")
		time.Sleep(3 * time.Second)
		require.NoError(w, w.Redis.FlushAll(w.Context()).Err())
		time.Sleep(5 * time.Second)
		require.Empty(w, w.Redis.SMembers(w.Context(), "refq:{default}:knows:work@1").Val())
		time.Sleep(time.Minute)
		require.Len(w, w.Redis.SMembers(w.Context(), "refq:{default}:knows:work@1").Val(), 1)
	})
}

// needs is work that needs one of some licences first.
type needs struct {
	free     chan struct{}
	released atomic.Int64
	ran      atomic.Int64
	fn       func(ctx context.Context, in string) (string, error)
	err      error
}

func (n *needs) register(f refcache.Func[string, string]) func(*worker.Worker) {
	return func(w *worker.Worker) {
		worker.HandleWith(w, f, func(ctx context.Context) (int, func(), error) {
			if n.err != nil {
				return 0, nil, n.err
			}
			select {
			case <-n.free:
				return 7, func() { n.released.Add(1); n.free <- struct{}{} }, nil
			case <-ctx.Done():
				return 0, nil, context.Cause(ctx)
			}
		}, func(ctx context.Context, licence int, in string) (string, error) {
			n.ran.Add(1)
			if licence != 7 {
				return "", errors.New("another licence")
			}
			return n.fn(ctx, in)
		})
	}
}

func TestTheTimeoutBeginsWhenAFunctionHasWhatItNeeds(t *testing.T) {
	inHouse(t, func(w *house) {
		f := work
		f.Timeout = 2 * time.Second
		n := needs{free: make(chan struct{}, 1), fn: func(ctx context.Context, in string) (string, error) {
			deadline, _ := ctx.Deadline()
			if left := time.Until(deadline); left != 2*time.Second {
				return "", worker.Permanent(errors.New("left: " + left.String()))
			}
			select {
			case <-time.After(1500 * time.Millisecond):
				return in, nil
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		}}
		n.free <- struct{}{}
		w.Start(worker.Config{}, n.register(f))
		var refs []refcache.Ref
		for _, in := range []string{"a", "b", "c", "d"} { // one after the other, since there is one licence
			refs = append(refs, w.submit(f, in))
		}
		for _, ref := range refs {
			require.Zero(w, w.await(ref, refcache.Complete).RetryCount)
		}
		require.EqualValues(w, 4, n.released.Load())
	})
}

func TestNothingIsCalledForACallThatIsCancelledWhileItWaitsForWhatItNeeds(t *testing.T) {
	inHouse(t, func(w *house) {
		n := needs{free: make(chan struct{}, 1)}
		w.Start(worker.Config{}, n.register(work))
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		require.Equal(w, refcache.Processing, w.info(ref).Status)
		require.NoError(w, w.a.Cancel(w.Context(), ref))
		w.await(ref, refcache.Cancelled)
		n.free <- struct{}{}
		time.Sleep(time.Minute)
		require.Zero(w, n.ran.Load())
		require.Zero(w, n.released.Load())
		require.Len(w, n.free, 1, "nobody has taken it")
	})
}

func TestAWorkerThatStopsHandsBackWhatWaitsForWhatItNeeds(t *testing.T) {
	inHouse(t, func(w *house) {
		n := needs{free: make(chan struct{}, 1)}
		h := w.Start(worker.Config{ShutdownTimeout: time.Second}, n.register(work))
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		h.Stop()
		info := w.info(ref)
		require.Equal(w, refcache.Pending, info.Status)
		require.Zero(w, info.Attempt)
		require.Zero(w, info.LostCount)
	})
}

func TestAnErrorOfWhatAFunctionNeedsIsOneOfTheAttempt(t *testing.T) {
	inHouse(t, func(w *house) {
		n := needs{err: worker.Permanent(errBroken)}
		w.Start(worker.Config{}, n.register(work))
		info := w.await(w.submit(work, "in"), refcache.Failed)
		require.Equal(w, "no licence server", info.LastError)
		require.Zero(w, n.ran.Load())
	})
}
