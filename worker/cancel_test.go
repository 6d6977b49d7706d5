package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func (w *house) cancel(ref refcache.Ref) {
	w.Helper()
	require.NoError(w, w.a.Cancel(w.Context(), ref))
	require.Equal(w, refcache.Cancelled, w.info(ref).Status, "at once")
}

// end is why and when the context of an attempt ended.
type end struct {
	cause error
	at    time.Time
}

// noting is a function that tells of the end of its context.
func noting() (fn func(context.Context, string) (string, error), ends <-chan end) {
	told := make(chan end, 10)
	return func(ctx context.Context, _ string) (string, error) {
		<-ctx.Done()
		told <- end{context.Cause(ctx), time.Now()}
		return "too late", nil
	}, told
}

func TestCancelledPendingTaskDoesNotRun(t *testing.T) {
	inHouse(t, func(w *house) {
		ref := w.submit(work, "in")
		w.cancel(ref)
		ran := failing(0)
		w.Start(worker.Config{}, world.Handles(work, ran.run))
		time.Sleep(10 * time.Second)
		require.Zero(w, ran.count())
		info := w.info(ref)
		require.Equal(w, refcache.Cancelled, info.Status)
		require.Empty(w, info.RetryHistory, "there was no attempt")
		require.Equal(w, []refcache.EventKind{refcache.EventCancel}, kinds(info))
		require.Equal(w, "ann@desk", info.Events[0].By)
	})
}

func kinds(info refcache.TaskInfo) []refcache.EventKind {
	var kinds []refcache.EventKind
	for _, e := range info.Events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestCancelledAttemptIsToldAtOnce(t *testing.T) {
	inHouse(t, func(w *house) {
		held, ends := noting()
		w.Start(worker.Config{}, world.Handles(work, held))
		ref := w.submit(work, "in")
		w.await(ref, refcache.Processing)
		time.Sleep(10 * time.Millisecond)
		w.cancel(ref)
		cancelled := time.Now()
		end := <-ends
		require.ErrorIs(w, end.cause, worker.ErrVoid)
		require.Less(w, end.at.Sub(cancelled), 10*time.Millisecond)

		time.Sleep(20 * time.Second)
		info := w.info(ref)
		require.Equal(w, refcache.Cancelled, info.Status, "what the attempt returned is dropped")
		require.Empty(w, ends, "it never runs again")
		require.Equal(w, []refcache.EventKind{refcache.EventCancel}, kinds(info))
		require.Len(w, info.RetryHistory, 1)
		attempt := info.RetryHistory[0]
		require.Equal(w, refcache.CauseCancelled, attempt.Cause)
		require.Equal(w, "cancelled by ann@desk", attempt.Error)
		require.Equal(w, 1, attempt.Attempt)
		require.Empty(w, info.Error)
		require.False(w, info.CanRetry || info.Exhausted)
	})
}

func TestCancellationWhoseMessageIsLostIsFoundByTheNextBeat(t *testing.T) {
	inHouse(t, func(w *house) {
		w.faults(deafTo("}:cancel:"))
		held, ends := noting()
		w.Start(worker.Config{}, world.Handles(work, held))
		ref := w.submit(work, "in")
		w.await(ref, refcache.Processing)
		w.cancel(ref)
		cancelled := time.Now()
		end := <-ends
		require.ErrorIs(w, end.cause, worker.ErrVoid)
		require.Greater(w, end.at.Sub(cancelled), 50*time.Millisecond, "the message was to be lost")
		require.LessOrEqual(w, end.at.Sub(cancelled), 2100*time.Millisecond)
		require.Equal(w, refcache.Cancelled, w.info(ref).Status)
	})
}

func TestCancelledRetryDoesNotRun(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(1)
		w.Start(worker.Config{}, world.Handles(work, flaky.run))
		ref := w.submit(work, "in")
		w.await(ref, refcache.Retrying)
		w.cancel(ref)
		time.Sleep(15 * time.Second)
		require.Equal(w, 1, flaky.count())
		info := w.info(ref)
		require.Equal(w, refcache.Cancelled, info.Status)
		require.Nil(w, info.NextRetryAt)
		require.Equal(w, 1, info.AttemptsTotal, "only the one that failed")
		require.Empty(w, info.Error)
		require.Equal(w, "service is down", info.LastError)
	})
}

func TestCallAfterACancellationRunsAnew(t *testing.T) {
	inHouse(t, func(w *house) {
		started := make(chan bool, 2)
		slowOnce := &runs{fn: func(ctx context.Context, attempt int) (string, error) {
			started <- true
			if attempt == 1 {
				return untilEnd(ctx, attempt)
			}
			return "second", nil
		}}
		w.Start(worker.Config{}, world.Handles(work, slowOnce.run))
		ref := w.submit(work, "in")
		<-started
		w.cancel(ref)
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, "second", res.Value)
		require.Equal(w, ref, res.RefID)
		info := w.info(ref)
		require.Equal(w, 2, info.Cycle)
		require.Equal(w, 1, info.Attempt)
		require.Equal(w, 1, info.RetryHistory[0].Cycle, "the history stays")
		time.Sleep(20 * time.Second)
		require.Equal(w, 2, slowOnce.count())
	})
}

func TestDeafFunctionOfACancelledTaskKeepsItsSlot(t *testing.T) {
	inHouse(t, func(w *house) {
		deaf := &runs{fn: func(_ context.Context, attempt int) (string, error) {
			if attempt == 1 {
				time.Sleep(20 * time.Second)
			}
			return "", nil
		}}
		w.Start(worker.Config{Concurrency: 1}, world.Handles(work, deaf.run))
		ref := w.submit(work, "deaf")
		w.await(ref, refcache.Processing)
		w.cancel(ref)
		next := w.submit(work, "next")
		time.Sleep(15 * time.Second)
		require.Equal(w, refcache.Pending, w.info(next).Status)
		w.await(next, refcache.Complete)
		require.GreaterOrEqual(w, deaf.gaps()[0], 20*time.Second)
	})
}
