package worker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// reporting is a function that reports once and then goes on until it is cancelled.
func reporting(after time.Duration, current, total int64, message string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, _ string) (string, error) {
		time.Sleep(after)
		worker.ReportProgress(ctx, current, total, message)
		return untilEnd(ctx, 1)
	}
}

// response is what is known of the call at a moment.
func (w *house) response(ref refcache.Ref) refcache.Response[string] {
	w.Helper()
	res, err := getAs(w, ref)
	require.NoError(w, err)
	return res
}

func TestProgressTellsHowFarAnAttemptIs(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, world.Handles(work, reporting(10*time.Second, 1, 4, "page 1")))
		ref := w.submit(work, "in")
		w.await(ref, refcache.Processing)
		require.Nil(w, w.response(ref).Progress)
		time.Sleep(11 * time.Second)
		res := w.response(ref)
		require.Equal(w, refcache.Progress{Current: 1, Total: 4, Message: "page 1", Percentage: new(25.0)}, *res.Progress)
		require.Equal(w, "page 1", res.Message)
		taken := time.Since(*res.StartedAt)
		require.InDelta(w, 3*taken.Seconds(), res.ETA.Seconds(), 0.1, "as long again for each of the other three")
		w.cancel(ref)
	})
}

func TestProgressAtItsEdges(t *testing.T) {
	for name, tc := range map[string]struct {
		current, total int64
		percentage     *float64
		eta            bool
		wantTotal      int64
	}{
		"no total":       {5, 0, nil, false, 0},
		"negative total": {5, -1, nil, false, 0},
		"not begun":      {0, 10, new(0.0), false, 10},
		"negative":       {-3, 10, new(0.0), false, 10},
		"done":           {10, 10, new(100.0), true, 10},
		"beyond":         {30, 10, new(100.0), true, 10},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				w.Start(worker.Config{}, world.Handles(work, reporting(time.Second, tc.current, tc.total, "")))
				ref := w.submit(work, "in")
				time.Sleep(2500 * time.Millisecond)
				res := w.response(ref)
				require.Equal(w, tc.percentage, res.Progress.Percentage)
				require.Equal(w, tc.wantTotal, res.Progress.Total)
				require.Equal(w, tc.eta, res.ETA != nil)
				if res.ETA != nil {
					require.Zero(w, *res.ETA, "never negative")
				}
				require.Equal(w, "attempt 1 is running", res.Message)
				w.cancel(ref)
			})
		})
	}
}

func TestReportsAreWrittenTenTimesASecondAndTheLastAlways(t *testing.T) {
	inHouse(t, func(w *house) {
		count := w.count("progress")
		busy := func(ctx context.Context, _ string) (string, error) {
			for i := range 300 {
				worker.ReportProgress(ctx, int64(i+1), 300, fmt.Sprint("step ", i+1))
				time.Sleep(10 * time.Millisecond)
			}
			worker.ReportProgress(ctx, 300, 300, "over")
			return "", worker.Permanent(errDown)
		}
		w.Start(worker.Config{}, world.Handles(work, busy))
		_, err := w.call(work, "in")
		info := failed(w, err)
		require.Equal(w, "over", info.Progress.Message)
		require.InDelta(w, 31, int(count.Load()), 1)
	})
}

func TestLastReportOfAWaitingFunctionIsWrittenToo(t *testing.T) {
	inHouse(t, func(w *house) {
		pausing := func(ctx context.Context, _ string) (string, error) {
			for i := range 5 {
				worker.ReportProgress(ctx, int64(i+1), 10, "")
			}
			return untilEnd(ctx, 1)
		}
		w.Start(worker.Config{}, world.Handles(work, pausing))
		ref := w.submit(work, "in")
		w.await(ref, refcache.Processing)
		time.Sleep(200 * time.Millisecond)
		require.EqualValues(w, 5, w.info(ref).Progress.Current)
		w.cancel(ref)
	})
}

func TestUnusedProgressCostsNothing(t *testing.T) {
	inHouse(t, func(w *house) {
		count := w.count("progress")
		w.Start(worker.Config{}, world.Handles(work, failing(1).run))
		_, err := w.call(work, "in")
		require.NoError(w, err)
		require.Zero(w, count.Load())
	})
}

func TestProgressIsOfOneAttempt(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := &runs{fn: func(ctx context.Context, attempt int) (string, error) { return "", nil }}
		first := func(ctx context.Context, in string) (string, error) {
			if flaky.run(ctx, in); flaky.count() == 1 {
				worker.ReportProgress(ctx, 9, 10, "nearly")
				return "", errDown
			}
			return untilEnd(ctx, 2)
		}
		w.Start(worker.Config{}, world.Handles(work, first))
		ref := w.submit(work, "in")
		require.Equal(w, "nearly", w.await(ref, refcache.Retrying).Progress.Message, "how far it came")
		require.Nil(w, w.await(ref, refcache.Processing).Progress)
		w.cancel(ref)
	})
}

func TestLongProgressMessageIsCut(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, world.Handles(work, reporting(0, 1, 2, strings.Repeat("ü", 5000)+"\xff")))
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		message := w.info(ref).Progress.Message
		require.LessOrEqual(w, len(message), 1<<10)
		require.True(w, strings.HasSuffix(message, "ü…"))
		w.cancel(ref)
	})
}

// With its message lost, a cancellation is found by whatever the worker says next: here a report.
func TestReportOfAVoidAttemptEndsIt(t *testing.T) {
	inHouse(t, func(w *house) {
		lost, lateBeat := deafTo("}:cancel:"), delaying("heartbeat", 10*time.Second)
		w.faults(func(script string, cmd []string) memredis.Fault {
			lateBeat(script, cmd)
			return lost(script, cmd)
		})
		ended := make(chan end, 1)
		chatty := func(ctx context.Context, _ string) (string, error) {
			for i := range int64(1000) {
				select {
				case <-ctx.Done():
					ended <- end{context.Cause(ctx), time.Now()}
					return "", ctx.Err()
				case <-time.After(100 * time.Millisecond):
					worker.ReportProgress(ctx, i, 1000, "")
				}
			}
			return "", nil
		}
		w.Start(worker.Config{}, world.Handles(work, chatty))
		ref := w.submit(work, "in")
		w.await(ref, refcache.Processing)
		w.cancel(ref)
		cancelled := time.Now()
		e := <-ended
		require.ErrorIs(w, e.cause, worker.ErrVoid)
		require.Less(w, e.at.Sub(cancelled), 500*time.Millisecond)
	})
}

func TestReportsAfterTheOutcomeAreDropped(t *testing.T) {
	inHouse(t, func(w *house) {
		count := w.count("progress")
		late := func(ctx context.Context, _ string) (string, error) {
			time.Sleep(10 * time.Second) // timed out, and the grace is over
			for range 10 {
				worker.ReportProgress(ctx, 1, 2, "still here")
				time.Sleep(100 * time.Millisecond)
			}
			return "", nil
		}
		w.Start(worker.Config{}, world.Handles(work, late))
		_, err := w.call(short(), "in")
		failed(w, err)
		time.Sleep(5 * time.Second)
		require.Zero(w, count.Load())
	})
}

func TestReportsFromElsewhereDoNothing(t *testing.T) {
	t.Parallel()
	worker.ReportProgress(t.Context(), 1, 2, "nobody listens")
	_, ok := worker.Current(t.Context())
	require.False(t, ok)
	require.Equal(t, 5*time.Second, worker.Grace(t.Context()))
}
