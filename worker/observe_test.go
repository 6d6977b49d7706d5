package worker_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// kept keeps a worker that is being set up.
func kept(to **worker.Worker) func(*worker.Worker) {
	return func(w *worker.Worker) { *to = w }
}

// within checks a histogram of one function's durations.
func within(t require.TestingT, h monitor.Histogram, count int, least, most time.Duration) {
	require.EqualValues(t, count, h.Count())
	require.GreaterOrEqual(t, h.Sum, least)
	require.LessOrEqual(t, h.Sum, most)
}

func TestAWorkerCountsWhatBecomesOfAttemptsAndCalls(t *testing.T) {
	testkit.Long(t)
	inHouse(t, func(w *house) {
		f := work
		f.Retry = refcache.RetryPolicy{MaxRetries: 3, Delay: 10 * time.Second, Jitter: -1, BackoffFactor: 1}
		f.Timeout = 20 * time.Second
		r := &runs{fn: func(ctx context.Context, attempt int) (string, error) {
			switch attempt {
			case 1:
				time.Sleep(2 * time.Second)
				return "", errDown
			case 2:
				panic("no")
			case 3:
				return untilEnd(ctx, attempt)
			}
			return "done", nil
		}}
		var wk *worker.Worker
		w.Start(worker.Config{}, world.Handles(f, r.run), kept(&wk))
		ref := w.submit(f, "x")
		time.Sleep(time.Second)
		require.EqualValues(w, 1, wk.Counts()[0].InFlight)
		w.await(ref, refcache.Complete)

		c := wk.Counts()[0]
		require.Equal(w, monitor.AttemptCounts{Complete: 1, Error: 1, Panic: 1, Timeout: 1}, c.Attempts)
		require.Equal(w, monitor.CallCounts{Complete: 1}, c.CallCounts, "how it was made is the producer's to count")
		require.Zero(w, c.InFlight)
		within(w, c.AttemptDurations, 4, 22*time.Second, 23*time.Second)
		within(w, c.CallDurations, 1, 52*time.Second, 54*time.Second)
		within(w, c.Backoffs, 3, 30*time.Second, 30*time.Second)
		within(w, c.RetryLateness, 3, 0, time.Second)
		within(w, c.QueueWaits, 1, 0, time.Second)
	})
}

func TestAWorkerCountsWhatItHandsBackAndWhatIsCancelled(t *testing.T) {
	inHouse(t, func(w *house) {
		var wk *worker.Worker
		h := w.Start(worker.Config{}, world.Handles(work, (&runs{fn: untilEnd}).run), kept(&wk))
		cancelled, held := w.submit(work, "a"), w.submit(work, "b")
		w.await(cancelled, refcache.Processing)
		w.await(held, refcache.Processing)
		require.NoError(w, w.p.Cancel(w.Context(), cancelled))
		time.Sleep(time.Second)
		h.Stop()
		c := wk.Counts()[0]
		require.Equal(w, monitor.AttemptCounts{Cancelled: 1, HandedBack: 1}, c.Attempts)
		require.Equal(w, monitor.CallCounts{}, c.CallCounts)
		require.Zero(w, c.AttemptDurations.Count())
		require.Equal(w, monitor.CallCounts{Misses: 2, Cancelled: 1}, w.p.Counts()[0].CallCounts)
	})
}

// The beginning of a later cycle is known only to its first attempt.
func TestALaterCycleIsTimedFromItsOwnBeginning(t *testing.T) {
	testkit.Long(t)
	inHouse(t, func(w *house) {
		var wk *worker.Worker
		w.Start(worker.Config{}, world.Handles(work, (&runs{fn: func(context.Context, int) (string, error) {
			time.Sleep(time.Second)
			return "", worker.Permanent(errDown)
		}}).run), kept(&wk))
		ref := w.submit(work, "x")
		w.await(ref, refcache.Failed)
		time.Sleep(5 * time.Minute)
		_, err := w.a.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		time.Sleep(5 * time.Second)
		c := wk.Counts()[0]
		require.EqualValues(w, 2, c.Failed)
		within(w, c.CallDurations, 2, 2*time.Second, 4*time.Second)
		within(w, c.QueueWaits, 2, 0, time.Second)
	})
}

func TestTheWorkerThatFindsALostAttemptCountsIt(t *testing.T) {
	inHouse(t, func(w *house) {
		first := w.Start(worker.Config{}, world.Handles(work, (&runs{fn: untilEnd}).run))
		ref := w.submit(work, "x")
		w.await(ref, refcache.Processing)
		synctest.Wait() // until the worker knows
		var second *worker.Worker
		w.Start(worker.Config{}, world.Handles(work, (&runs{fn: failing(0).fn}).run), kept(&second))
		first.Leaves = true
		first.Unplug()
		w.await(ref, refcache.Complete)
		c := second.Counts()[0]
		require.Equal(w, monitor.AttemptCounts{Complete: 1, Lost: 1}, c.Attempts)
		require.EqualValues(w, 1, c.Redelivered)
		time.Sleep(5 * time.Second)
		require.Equal(w, []monitor.Repairs{{Queue: "default", Workers: 1}}, second.Repairs(), "the dead one holds nothing any more")
	})
}

func TestAWorkerIsReadyWhileItTakesCallsAndRedisHearsOfIt(t *testing.T) {
	inHouse(t, func(w *house) {
		var wk *worker.Worker
		h := w.unplugged(worker.Config{}, world.Handles(work, failing(0).run), kept(&wk))
		fresh := worker.New(w.Redis, worker.Config{})
		require.ErrorContains(w, fresh.Ready(), "was not started")
		time.Sleep(5 * time.Second)
		require.ErrorContains(w, wk.Ready(), "not heard of the worker yet")
		require.Positive(w, wk.RedisErrors()["heartbeat"])

		h.Plug()
		time.Sleep(5 * time.Second)
		require.NoError(w, wk.Ready())
		h.Unplug()
		time.Sleep(10 * time.Second)
		require.ErrorContains(w, wk.Ready(), "has not heard of the worker for")
		h.Plug()
		time.Sleep(5 * time.Second)
		require.NoError(w, wk.Ready())
		h.Stop()
		require.ErrorContains(w, wk.Ready(), "it stops")
	})
}

func TestTheLogNamesAttemptsByFixedKeys(t *testing.T) {
	inHouse(t, func(w *house) {
		var book logbook
		w.Start(worker.Config{Logger: book.debugLogger()}, world.Handles(work, failing(1).run))
		ref := w.submit(work, "secret argument")
		w.await(ref, refcache.Complete)
		require.Equal(w, 1, book.count(`msg="attempt ended"`+" worker="+workerIn(&book)+" ref_id="+string(ref)+" func=work attempt=1 outcome=error "))
		require.Equal(w, 1, book.count(" ref_id="+string(ref)+" func=work attempt=2 outcome=complete "))
		require.Zero(w, book.count("secret"))
		require.Zero(w, book.count("trace_id"))
	})
}

func workerIn(b *logbook) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, after, _ := strings.Cut(b.lines[0], "worker=")
	return strings.Fields(after)[0]
}
