package admin_test

import (
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestStatsShowTheLastHourOfAllProducersAndWorkers(t *testing.T) {
	inOffice(t, func(w *office) {
		slow := kit.Echo
		slow.Name, slow.Queue = "slow", "media"
		held := kit.Script{Hold: make(chan struct{}), Errs: []error{kit.ErrDown}}
		w.Work((&kit.Script{}).Of(kit.Echo), held.Of(kit.Once(slow)))

		_, err := w.Call(kit.Echo, "x")
		require.NoError(w, err)
		_, err = w.Call(kit.Echo, "x")
		require.NoError(w, err)
		another := w.NewProducer(producer.Config{})
		first := w.Submit(kit.Once(slow), "a")
		_, err = producer.Submit(w.Context(), another, kit.Once(slow), "a")
		require.NoError(w, err)
		second := w.Submit(kit.Once(slow), "b")
		require.NoError(w, w.A.Cancel(w.Context(), second))
		require.NoError(w, another.Cancel(w.Context(), second), "again")
		time.Sleep(3 * time.Second)
		held.Hold <- struct{}{}
		w.Until(first, refcache.Failed)
		_, err = w.Call(kit.Once(slow), "a")
		require.Error(w, err)
		time.Sleep(3 * time.Second) // counts are written within 2 s

		stats, err := w.A.Stats(w.Context())
		require.NoError(w, err)
		require.Len(w, stats.Functions, 2)
		e, s := stats.Functions[0], stats.Functions[1]
		require.Equal(w, monitor.FunctionStats{Queue: "default", Func: "echo", Durations: e.Durations,
			CallCounts: monitor.CallCounts{Misses: 1, Hits: 1, Complete: 1}}, e)
		require.Equal(w, monitor.FunctionStats{Queue: "media", Func: "slow", Durations: s.Durations,
			CallCounts: monitor.CallCounts{Misses: 2, Joined: 1, Hits: 1, Failed: 1, Cancelled: 1}}, s)
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

		stats, err = w.A.Stats(w.Context(), "media")
		require.NoError(w, err)
		require.Len(w, stats.Functions, 1)
		_, err = w.A.Stats(w.Context(), "no/queue")
		require.ErrorContains(w, err, "no/queue")
	})
}

func TestStatsOfNothingAreAnEmptyHour(t *testing.T) {
	inOffice(t, func(w *office) {
		stats, err := w.A.Stats(w.Context())
		require.NoError(w, err)
		require.Empty(w, stats.Functions)
		require.Len(w, stats.Minutes, 60)
		require.Equal(w, time.Minute, stats.Minutes[1].Start.Sub(stats.Minutes[0].Start))
	})
}
