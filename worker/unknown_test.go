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

// aside returns how many doorbells are set aside in the default queue under a name.
func (w *house) aside(name string) int {
	return int(w.Redis.LLen(w.Context(), "refq:{default}:aside:"+name).Val())
}

func TestACallThatNoWorkerKnowsIsSetAsideUntouched(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, handleOther)
		ref := w.submit(work, "in")
		time.Sleep(time.Minute)
		require.Equal(w, 1, w.aside("work@1"))
		info := w.info(ref)
		require.Equal(w, refcache.Pending, info.Status)
		require.Equal(w, refcache.UnservedFunction, info.Unserved)
		require.Equal(w, "no living worker knows work@1; workers of queue default know other@1", info.Note)
		require.Zero(w, info.Attempt)
		require.Empty(w, info.Events)
		response, err := w.p.Get(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, info.Note, response.Message)
		require.Equal(w, refcache.UnservedFunction, response.Unserved)
		require.Equal(w, string(ref), w.Redis.LIndex(w.Context(), "refq:{default}:aside:work@1", 0).Val(), "of the first delivery")
	})
}

func TestWhatWasSetAsideRunsWhenAWorkerStartsThatKnowsIt(t *testing.T) {
	for name, retries := range map[string]int{"with retries": 3, "without retries": refcache.NoRetries} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				w.Start(worker.Config{}, handleOther)
				f := work
				f.Retry.MaxRetries = retries
				ref := w.submit(f, "in")
				time.Sleep(12 * time.Second)
				w.Start(worker.Config{}, handleOther, world.Handles(f, failing(0).run))
				start := time.Now()
				w.await(ref, refcache.Complete)
				require.Less(w, time.Since(start), time.Second)
				info := w.info(ref)
				require.Equal(w, 1, info.Attempt)
				require.Empty(w, info.Note)
				require.Zero(w, w.aside("work@1"))
				require.Zero(w, w.Redis.Exists(w.Context(), "refq:{default}:aside").Val())
			})
		})
	}
}

func TestARetryRunsWhereItsFunctionIsKnown(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, world.Handles(work, failing(1).run))
		w.Start(worker.Config{}, handleOther)
		for n := range 20 {
			ref := w.submit(work, fmt.Sprint(n))
			w.await(ref, refcache.Complete)
			require.Empty(w, w.info(ref).Events)
		}
	})
}

func TestWorkersThatKnowDifferentFunctionsShareAQueueWithoutWaits(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, handleOther)
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(5 * time.Second) // both are idle
		for n := range 40 {
			start := time.Now()
			_, err := w.call(work, fmt.Sprint(n))
			require.NoError(w, err)
			require.Less(w, time.Since(start), 100*time.Millisecond)
		}
		require.Zero(w, w.aside("work@1"))
	})
}

// The wake-up of who knows the function gets lost: nobody is known to know it.
func TestLostWakeupForWhatIsSetAsideCostsAnIdleWorkerItsNextLook(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, handleOther)
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		for n := range 10 {
			time.Sleep(5 * time.Second)
			w.Redis.Del(w.Context(), "refq:{default}:knows:work@1")
			start := time.Now()
			_, err := w.call(work, fmt.Sprint(n))
			require.NoError(w, err)
			require.LessOrEqual(w, time.Since(start), 3*time.Second+100*time.Millisecond)
		}
	})
}

func TestLostWakeupForWhatIsSetAsideCostsABusyWorkerItsNextBeat(t *testing.T) {
	inHouse(t, func(w *house) {
		more := refcache.Func[string, string]{Name: "more"}
		begun := make(chan bool, 1)
		w.Start(worker.Config{}, handleOther)
		w.Start(worker.Config{Concurrency: 1}, world.Handles(more, sleeping(100*time.Millisecond)),
			world.Handles(work, func(context.Context, string) (string, error) {
				begun <- true
				return "", nil
			}))
		for n := range 400 { // the worker never looks for lack of work
			w.submit(more, fmt.Sprint(n))
		}
		time.Sleep(5 * time.Second)
		for n := range 5 { // it may also come across the doorbell before it is set aside
			w.Redis.Del(w.Context(), "refq:{default}:knows:work@1")
			w.submit(work, fmt.Sprint(n))
			within := time.After(3 * time.Second)
			select {
			case <-begun:
			case <-within:
				w.Fatalf("call %d did not begin", n)
			}
		}
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
		time.Sleep(2 * time.Second)
		require.Equal(w, "no living worker knows work@2; workers of queue default know work@1", w.info(ref).Note)
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
