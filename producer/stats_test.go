package producer_test

import (
	"slices"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
)

func TestARefreshThatIsAnsweredWithTheOldResultIsAHit(t *testing.T) {
	inOffice(t, func(w *office) {
		held := kit.Script{Hold: make(chan struct{}, 1)}
		held.Hold <- struct{}{}
		w.Work(held.Of(kit.Echo))
		_, err := w.Call(kit.Echo, "x")
		require.NoError(w, err)
		w.Submit(kit.Echo, "x", producer.Refresh())
		_, err = w.Call(kit.Echo, "x")
		require.NoError(w, err)
		w.Submit(kit.Echo, "x", producer.Refresh()) // wants the new one
		require.Equal(w, []monitor.Counts{{Queue: "default", Func: "echo", CallCounts: monitor.CallCounts{Misses: 2, Joined: 1, Hits: 1, Refreshes: 1}}},
			w.P.Counts())
		held.Hold <- struct{}{}
	})
}

func TestWaitersAreCountedWhileTheyWait(t *testing.T) {
	inOffice(t, func(w *office) {
		held := kit.Script{Hold: make(chan struct{})}
		w.Work(held.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "x")
		require.Zero(w, w.P.Waiters())
		first, second := w.WaitFor(ref), w.WaitFor(ref)
		time.Sleep(time.Second)
		require.Equal(w, 2, w.P.Waiters())
		held.Hold <- struct{}{}
		require.NoError(w, <-first)
		require.NoError(w, <-second)
		require.Zero(w, w.P.Waiters())
	})
}

// What a command line counts must not depend on how long it runs.
func TestAProducerThatEndsAtOnceIsCounted(t *testing.T) {
	inOffice(t, func(w *office) {
		p := producer.New(w.Client(), producer.Config{})
		_, err := producer.Submit(w.Context(), p, kit.Echo, "x")
		require.NoError(w, err)
		require.NoError(w, p.Close())
		stats, err := w.A.Stats(w.Context(), "default")
		require.NoError(w, err)
		require.EqualValues(w, 1, stats.Functions[0].Misses)
	})
}

func TestManyCallsAreCountedAndTracedAsEachWouldBe(t *testing.T) {
	inOffice(t, func(w *office) {
		recorder := tracetest.NewSpanRecorder()
		p := w.NewProducer(producer.Config{Traces: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))})
		held := kit.Script{Hold: make(chan struct{}, 1)}
		held.Hold <- struct{}{}
		w.Work(held.Of(kit.Echo))
		_, err := w.Call(kit.Echo, "call 0")
		require.NoError(w, err)
		for _, s := range collect(w, producer.SubmitMany(w.Context(), p, kit.Echo, slices.Values([]string{"call 0", "call 1", "call 1"}))) {
			require.NoError(w, s.Err)
		}
		require.Equal(w, []monitor.Counts{{Queue: "default", Func: "echo", CallCounts: monitor.CallCounts{Misses: 1, Joined: 1, Hits: 1}}}, p.Counts())
		require.Len(w, recorder.Ended(), 3)
		require.Contains(w, w.Server.Dump(), "trace")

		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		for range producer.SubmitMany(w.Context(), p, kit.Echo, numbers(3)) {
			continue
		}
		w.Server.SetFaults(nil)
		require.EqualValues(w, 3, p.RedisErrors()["submit"])
		held.Hold <- struct{}{}
	})
}
