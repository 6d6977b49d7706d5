package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// short is work that may take 2 s, and is tried once.
func short() refcache.Func[string, string] {
	f := work
	f.Timeout = 2 * time.Second
	f.Retry.MaxRetries = refcache.NoRetries
	return f
}

func TestAttemptTimesOutToTheMillisecond(t *testing.T) {
	inHouse(t, func(w *house) {
		var took time.Duration
		var deadline time.Time
		slow := func(ctx context.Context, _ string) (string, error) {
			start := time.Now()
			deadline, _ = ctx.Deadline()
			<-ctx.Done()
			took = time.Since(start)
			require.ErrorIs(w, ctx.Err(), context.DeadlineExceeded)
			var timeout *worker.TimeoutError
			require.ErrorAs(w, context.Cause(ctx), &timeout)
			require.Equal(w, 1234*time.Millisecond, timeout.Limit)
			return "", fmt.Errorf("read page 3: %w", ctx.Err())
		}
		w.Start(worker.Config{}, world.Handles(work, slow))
		f := short()
		f.Timeout = 1234 * time.Millisecond
		_, err := w.call(f, "in")
		info := failed(w, err)
		require.Equal(w, "timed out after 1.234s: read page 3", info.Error)
		require.Equal(w, refcache.CauseTimeout, info.ErrorCause)
		require.Equal(w, 1234*time.Millisecond, took)
		require.Equal(w, f.Timeout, info.RetryHistory[0].Duration)
		require.Equal(w, info.StartedAt.Add(f.Timeout).UnixMilli(), deadline.UnixMilli())
	})
}

func TestTimeoutIsAFailureThatIsRetried(t *testing.T) {
	inHouse(t, func(w *house) {
		slowOnce := &runs{fn: func(ctx context.Context, attempt int) (string, error) {
			if attempt == 1 {
				return untilEnd(ctx, attempt)
			}
			return "done", nil
		}}
		w.Start(worker.Config{}, world.Handles(work, slowOnce.run))
		f := short()
		f.Retry.MaxRetries = 1
		res, err := w.call(f, "in")
		require.NoError(w, err)
		require.Equal(w, 1, res.RetryCount)
		require.Equal(w, "timed out after 2s", w.info(res.RefID).RetryHistory[0].Error)
		requireOnTime(w, []time.Duration{3 * time.Second}, slowOnce.gaps())
	})
}

func TestNegativeTimeoutIsNoLimit(t *testing.T) {
	inHouse(t, func(w *house) {
		slow := func(ctx context.Context, _ string) (string, error) {
			_, limited := ctx.Deadline()
			require.False(w, limited)
			time.Sleep(10 * time.Second)
			return "done", ctx.Err()
		}
		w.Start(worker.Config{}, world.Handles(work, slow))
		f := short()
		f.Timeout = -1
		res, err := w.call(f, "in")
		require.NoError(w, err)
		require.Equal(w, "done", res.Value)
		require.Zero(w, w.info(res.RefID).Timeout)
	})
}

func TestResultWithinTheGraceCounts(t *testing.T) {
	inHouse(t, func(w *house) {
		late := func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			require.Equal(w, 5*time.Second, worker.Grace(ctx))
			time.Sleep(worker.Grace(ctx))
			return "just in time", nil
		}
		w.Start(worker.Config{}, world.Handles(work, late))
		res, err := w.call(short(), "in")
		require.NoError(w, err)
		require.Equal(w, "just in time", res.Value)
	})
}

func TestPermanentErrorAfterATimeoutIsPermanent(t *testing.T) {
	inHouse(t, func(w *house) {
		slow := func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", worker.Permanent(errors.New("give up"))
		}
		w.Start(worker.Config{}, world.Handles(work, slow))
		f := short()
		f.Retry = refcache.RetryPolicy{}
		_, err := w.call(f, "in")
		info := failed(w, err)
		require.Equal(w, "timed out after 2s: give up", info.Error)
		require.Equal(w, 1, info.Attempt)
	})
}

// A function that ignores its context keeps its slot: concurrency counts what really runs.
func TestFunctionThatIgnoresItsTimeoutKeepsItsSlot(t *testing.T) {
	inHouse(t, func(w *house) {
		release := make(chan bool)
		var running, most atomic.Int32
		deaf := func(_ context.Context, in string) (string, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			if in == "deaf" {
				<-release
			}
			return "late " + in, nil
		}
		w.Start(worker.Config{Concurrency: 1}, world.Handles(work, deaf))
		start := time.Now()
		_, err := w.call(short(), "deaf")
		info := failed(w, err)
		require.Equal(w, "timed out after 2s", info.Error)
		require.Equal(w, refcache.CauseTimeout, info.ErrorCause)
		require.InDelta(w, 2+5.5, time.Since(start).Seconds(), 0.5, "told after the grace, not when it returns")

		next := w.submit(work, "next")
		time.Sleep(10 * time.Second)
		require.Equal(w, refcache.Pending, w.info(next).Status)
		close(release)
		time.Sleep(time.Second)
		require.Equal(w, refcache.Complete, w.info(next).Status)
		require.EqualValues(w, 1, most.Load())
		again := w.info(info.RefID)
		require.Equal(w, refcache.Failed, again.Status, "what it returned late is thrown away")
		require.Equal(w, 1, again.AttemptsTotal)
	})
}

// The slot of an attempt that was given up is not the slot of its retry.
func TestRetryOfADeafFunctionRunsBesideIt(t *testing.T) {
	inHouse(t, func(w *house) {
		release := make(chan bool)
		defer close(release)
		deaf := &runs{fn: func(_ context.Context, attempt int) (string, error) {
			if attempt == 1 {
				<-release
			}
			return "second", nil
		}}
		w.Start(worker.Config{Concurrency: 2}, world.Handles(work, deaf.run))
		f := short()
		f.Retry.MaxRetries = 1
		res, err := w.call(f, "in")
		require.NoError(w, err)
		require.Equal(w, "second", res.Value)
	})
}

// A failure that came in time stays what it was, however long the last progress report takes to write.
func TestFailureBeforeTheTimeoutIsNoTimeout(t *testing.T) {
	inHouse(t, func(w *house) {
		w.delay("progress", time.Second)
		brisk := func(ctx context.Context, _ string) (string, error) {
			time.Sleep(1500 * time.Millisecond)
			worker.ReportProgress(ctx, 1, 2, "half way")
			return "", errDown
		}
		w.Start(worker.Config{}, world.Handles(work, brisk))
		_, err := w.call(short(), "in")
		info := failed(w, err)
		require.Equal(w, "service is down", info.Error)
		require.Equal(w, refcache.CauseError, info.ErrorCause)
	})
}

func TestConcurrencyIsExact(t *testing.T) {
	inHouse(t, func(w *house) {
		var running, most, done atomic.Int32
		slow := func(context.Context, string) (string, error) {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			done.Add(1)
			return "", nil
		}
		w.Start(worker.Config{Concurrency: 3}, world.Handles(work, slow))
		for i := range 9 {
			w.submit(work, fmt.Sprint(i))
		}
		time.Sleep(5 * time.Second)
		require.EqualValues(w, 9, done.Load())
		require.EqualValues(w, 3, most.Load())
	})
}
