package producer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
)

func TestARefreshThatIsAnsweredWithTheOldResultIsAHit(t *testing.T) {
	inWorld(t, func(w *world) {
		held := script{hold: make(chan struct{}, 1)}
		held.hold <- struct{}{}
		w.start(held.of(echo))
		_, err := w.call(echo, "x")
		require.NoError(w, err)
		w.submit(echo, "x", producer.Refresh())
		_, err = w.call(echo, "x")
		require.NoError(w, err)
		w.submit(echo, "x", producer.Refresh()) // wants the new one
		require.Equal(w, []monitor.Counts{{Queue: "default", Func: "echo", CallCounts: monitor.CallCounts{New: 2, Joined: 1, Hits: 1}}},
			w.p.Counts())
		held.hold <- struct{}{}
	})
}

func TestWaitersAreCountedWhileTheyWait(t *testing.T) {
	inWorld(t, func(w *world) {
		held := script{hold: make(chan struct{})}
		w.start(held.of(echo))
		ref := w.submit(echo, "x")
		require.Zero(w, w.p.Waiters())
		first, second := w.waitFor(ref), w.waitFor(ref)
		time.Sleep(time.Second)
		require.Equal(w, 2, w.p.Waiters())
		held.hold <- struct{}{}
		require.NoError(w, <-first)
		require.NoError(w, <-second)
		require.Zero(w, w.p.Waiters())
	})
}

// What a command line counts must not depend on how long it runs.
func TestAProducerThatEndsAtOnceIsCounted(t *testing.T) {
	inWorld(t, func(w *world) {
		p := producer.New(w.client(), producer.Config{})
		_, err := producer.Submit(w.Context(), p, echo, "x")
		require.NoError(w, err)
		require.NoError(w, p.Close())
		stats, err := w.a.Stats(w.Context(), "default")
		require.NoError(w, err)
		require.EqualValues(w, 1, stats.Functions[0].New)
	})
}

func TestManyCallsAreCountedAndTracedAsEachWouldBe(t *testing.T) {
	inWorld(t, func(w *world) {
		recorder := tracetest.NewSpanRecorder()
		p := w.producer(producer.Config{Traces: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))})
		held := script{hold: make(chan struct{}, 1)}
		held.hold <- struct{}{}
		w.start(held.of(echo))
		_, err := w.call(echo, "call 0")
		require.NoError(w, err)
		for _, s := range collect(w, producer.SubmitMany(w.Context(), p, echo, slices.Values([]string{"call 0", "call 1", "call 1"}))) {
			require.NoError(w, s.Err)
		}
		require.Equal(w, []monitor.Counts{{Queue: "default", Func: "echo", CallCounts: monitor.CallCounts{New: 1, Joined: 1, Hits: 1}}}, p.Counts())
		require.Len(w, recorder.Ended(), 3)
		require.Contains(w, w.server.Dump(), "trace")

		w.server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		for range producer.SubmitMany(w.Context(), p, echo, numbers(3)) {
			continue
		}
		w.server.SetFaults(nil)
		require.EqualValues(w, 3, p.RedisErrors()["submit"])
		held.hold <- struct{}{}
	})
}
