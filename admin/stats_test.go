package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/monitor"
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
		require.NoError(w, w.a.Cancel(w.Context(), second))
		require.NoError(w, another.Cancel(w.Context(), second), "again")
		time.Sleep(3 * time.Second)
		held.hold <- struct{}{}
		w.until(first, refcache.Failed)
		_, err = w.call(once(slow), "a")
		require.Error(w, err)
		time.Sleep(3 * time.Second) // counts are written within 2 s

		stats, err := w.a.Stats(w.Context())
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

		stats, err = w.a.Stats(w.Context(), "media")
		require.NoError(w, err)
		require.Len(w, stats.Functions, 1)
		_, err = w.a.Stats(w.Context(), "no/queue")
		require.ErrorContains(w, err, "no/queue")
	})
}

func TestStatsOfNothingAreAnEmptyHour(t *testing.T) {
	inWorld(t, func(w *world) {
		stats, err := w.a.Stats(w.Context())
		require.NoError(w, err)
		require.Empty(w, stats.Functions)
		require.Len(w, stats.Minutes, 60)
		require.Equal(w, time.Minute, stats.Minutes[1].Start.Sub(stats.Minutes[0].Start))
	})
}
