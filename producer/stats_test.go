package producer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestStatsShowTheLastHourOfAllProducersAndWorkers(t *testing.T) {
	inWorld(t, func(w *world) {
		slow := echo
		slow.Name, slow.Queue = "slow", "media"
		held := script{hold: make(chan struct{}), errs: []error{errDown}}
		w.start((&script{}).of(echo), held.of(once(slow)))

		_, err := w.call(echo, "x")
		require.NoError(w, err)
		_, err = w.call(echo, "x")
		require.NoError(w, err)
		another := w.producer(producer.Config{})
		first := w.submit(once(slow), "a")
		_, err = producer.Submit(w.Context(), another, once(slow), "a")
		require.NoError(w, err)
		second := w.submit(once(slow), "b")
		require.NoError(w, another.Cancel(w.Context(), second))
		require.NoError(w, another.Cancel(w.Context(), second), "again")
		time.Sleep(3 * time.Second)
		held.hold <- struct{}{}
		w.until(first, refcache.Failed)
		_, err = w.call(once(slow), "a")
		require.Error(w, err)
		time.Sleep(3 * time.Second) // counts are written within 2 s

		stats, err := w.p.Stats(w.Context())
		require.NoError(w, err)
		require.Len(w, stats.Functions, 2)
		e, s := stats.Functions[0], stats.Functions[1]
		require.Equal(w, monitor.FunctionStats{Queue: "default", Func: "echo", Durations: e.Durations,
			CallCounts: monitor.CallCounts{New: 1, Hits: 1, Complete: 1}}, e)
		require.Equal(w, monitor.FunctionStats{Queue: "media", Func: "slow", Durations: s.Durations,
			CallCounts: monitor.CallCounts{New: 2, Joined: 1, Hits: 1, Failed: 1, Cancelled: 1}}, s)
		took, _ := s.Durations.Quantile(1)
		require.GreaterOrEqual(w, took, 3*time.Second)
		require.EqualValues(w, 1, s.Durations.Count(), "an attempt that nobody waits for does not count")

		var hour monitor.CallCounts
		for _, m := range stats.Minutes {
			hour.Add(m.CallCounts)
		}
		sum := e.CallCounts
		sum.Add(s.CallCounts)
		require.Equal(w, sum, hour)

		stats, err = w.p.Stats(w.Context(), "media")
		require.NoError(w, err)
		require.Len(w, stats.Functions, 1)
		_, err = w.p.Stats(w.Context(), "no/queue")
		require.ErrorContains(w, err, "no/queue")
	})
}

func TestStatsOfNothingAreAnEmptyHour(t *testing.T) {
	inWorld(t, func(w *world) {
		stats, err := w.p.Stats(w.Context())
		require.NoError(w, err)
		require.Empty(w, stats.Functions)
		require.Len(w, stats.Minutes, 60)
		require.Equal(w, time.Minute, stats.Minutes[1].Start.Sub(stats.Minutes[0].Start))
	})
}

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
		stats, err := w.p.Stats(w.Context(), "default")
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
