package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// other makes a worker serve the queue of work without knowing it.
var other = refcache.Func[int, int]{Name: "other"}

func handleOther(w *worker.Worker) {
	worker.Handle(w, other, func(context.Context, int) (int, error) { return 0, nil })
}

func TestUnknownFunctionIsHandedBackEvery5s(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, handleOther)
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		info := w.info(ref)
		require.Equal(w, refcache.Pending, info.Status)
		require.Regexp(w, `^worker \S+ does not know function work@1$`, info.Note)
		require.Equal(w, []refcache.EventKind{refcache.EventHandedBack}, kinds(info))
		response, err := w.p.Get(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, info.Note, response.Message)

		time.Sleep(22 * time.Second) // between two
		info = w.info(ref)
		require.Zero(w, info.Attempt)
		require.Zero(w, info.RetryCount)
		require.Zero(w, info.LostCount)
		require.Empty(w, info.RetryHistory)
		require.Equal(w, 1, info.EventsTotal, "one for all in a row")
		row := info.Events[0]
		require.GreaterOrEqual(w, row.Times, 4)
		require.LessOrEqual(w, row.Times, 5)
		require.GreaterOrEqual(w, row.At.Sub(*row.Since), time.Duration(row.Times-1)*5*time.Second)
	})
}

// Without retries asynq keeps no doorbell that was answered so: a sweep finds out.
func TestUnknownFunctionWithoutRetriesComesBackToo(t *testing.T) {
	inHouse(t, func(w *house) {
		old := w.Start(worker.Config{}, handleOther)
		f := work
		f.Retry.MaxRetries = refcache.NoRetries
		ref := w.submit(f, "in")
		time.Sleep(20 * time.Second)
		require.GreaterOrEqual(w, w.info(ref).Events[0].Times, 3)
		old.Stop()
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		w.await(ref, refcache.Complete)
	})
}

func TestUnknownFunctionRunsWhenAWorkerKnowsIt(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, handleOther)
		ref := w.submit(work, "in")
		time.Sleep(12 * time.Second)
		knows := failing(0)
		h := w.Start(worker.Config{}, world.Handles(work, knows.run))
		start := time.Now()
		for w.info(ref).Status != refcache.Complete { // both take its doorbell by turns
			require.Less(w, time.Since(start), time.Minute)
			time.Sleep(time.Second)
		}
		info := w.info(ref)
		require.Equal(w, 1, info.Attempt, "what was handed back does not count")
		require.Empty(w, info.Note)
		h.Stop()
	})
}

func TestUnknownFunctionRunsAtTheNextRingAfterADeploy(t *testing.T) {
	inHouse(t, func(w *house) {
		old := w.Start(worker.Config{}, handleOther)
		ref := w.submit(work, "in")
		time.Sleep(6 * time.Second)
		old.Stop()
		knows := failing(0)
		w.Start(worker.Config{}, handleOther, world.Handles(work, knows.run))
		start := time.Now()
		w.await(ref, refcache.Complete)
		require.Less(w, time.Since(start), 7*time.Second)
	})
}

func TestOtherVersionIsAnotherFunction(t *testing.T) {
	inHouse(t, func(w *house) {
		second := work
		second.Version = 2
		answer := func(version int) func(context.Context, string) (string, error) {
			return func(context.Context, string) (string, error) { return fmt.Sprint("version ", version), nil }
		}
		old := w.Start(worker.Config{}, world.Handles(work, answer(1)))
		ref := w.submit(second, "in")
		time.Sleep(time.Second)
		require.Regexp(w, `^worker \S+ does not know function work@2$`, w.info(ref).Note)
		old.Stop()

		w.Start(worker.Config{}, world.Handles(work, answer(1)), world.Handles(second, answer(2)))
		res, err := w.call(second, "in")
		require.NoError(w, err)
		require.Equal(w, "version 2", res.Value)
		first, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, "version 1", first.Value)
		require.NotEqual(w, first.RefID, res.RefID)
	})
}
