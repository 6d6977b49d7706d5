package counters_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
)

// world is a Counters and the Redis that it adds to, on the clock of a bubble.
type world struct {
	*testing.T
	*counters.Counters
	store  *store.Store
	server *memredis.Server
	sent   atomic.Int64 // commands that ran a script
	down   atomic.Bool
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // last of all: go-redis's goroutines end after Close
		server, err := memredis.New()
		require.NoError(t, err)
		t.Cleanup(server.Close)
		rdb := server.Client()
		t.Cleanup(func() { require.NoError(t, rdb.Close()) })
		w := &world{T: t, server: server, store: store.New(rdb)}
		w.Counters = counters.New(w.store)
		t.Cleanup(w.Close)
		server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVALSHA" {
				w.sent.Add(1)
				if w.down.Load() {
					return "ERR Redis is not well"
				}
			}
			return memredis.Pass
		})
		test(w)
	})
}

// stored is what Redis knows of the queue.
func (w *world) stored(queue string) []monitor.FunctionStats {
	w.Helper()
	stats, err := w.store.Minutes(w.Context(), []string{queue}, 60)
	require.NoError(w, err)
	return stats.Functions
}

func TestCountsReachRedisWithinTwoSecondsOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.Of("media", "thumb")
		c.Count(counters.CallMiss)
		c.Count(counters.CallHit)
		c.Observe(counters.AttemptDuration, 3*time.Second)
		c.Observe(counters.QueueWait, time.Hour) // is not for Redis
		require.Empty(w, w.stored("media"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want := monitor.FunctionStats{Queue: "media", Func: "thumb", CallCounts: monitor.CallCounts{Misses: 1, Hits: 1}}
		want.Durations.Buckets[monitor.HistogramBucket(3*time.Second)] = 1
		require.Equal(w, []monitor.FunctionStats{want}, w.stored("media"))

		time.Sleep(time.Minute)
		require.Equal(w, []monitor.FunctionStats{want}, w.stored("media"))
		c.Count(counters.CallFailed)
		time.Sleep(3 * time.Second)
		want.Failed = 1
		require.Equal(w, []monitor.FunctionStats{want}, w.stored("media"))
	})
}

func TestNothingIsSentWhereNothingIsCounted(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.Of("media", "thumb")
		time.Sleep(time.Hour)
		require.Zero(w, w.sent.Load())
		for range 1000 {
			c.Count(counters.CallMiss)
			w.Of("media", "other").Count(counters.AttemptComplete) // alone, it is not for Redis
		}
		time.Sleep(time.Hour)
		require.EqualValues(w, 1, w.sent.Load(), "however much happened")
	})
}

func TestCountsWaitForRedis(t *testing.T) {
	inWorld(t, func(w *world) {
		w.down.Store(true)
		w.Of("media", "thumb").Count(counters.CallMiss)
		time.Sleep(time.Minute)
		require.Empty(w, w.stored("media"))
		require.LessOrEqual(w, w.sent.Load(), int64(6), "it is not pestered")
		w.down.Store(false)
		w.Of("media", "thumb").Count(counters.CallMiss)
		time.Sleep(12 * time.Second)
		require.EqualValues(w, 2, w.stored("media")[0].Misses)
	})
}

func TestCloseFlushesAndIsTheEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.Of("media", "thumb")
		c.Count(counters.CallMiss)
		w.Close()
		require.EqualValues(w, 1, w.stored("media")[0].Misses)
		c.Count(counters.CallMiss)
		time.Sleep(time.Minute)
		w.Close()
		require.EqualValues(w, 1, w.stored("media")[0].Misses)
		require.EqualValues(w, 2, w.Counts()[0].Misses, "counting goes on")
	})
}

func TestFunctionsBeyondTheMostAreCountedTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		for n := range 1000 {
			w.Of("media", fmt.Sprintf("f%d", n)).Count(counters.CallMiss)
			w.Of(fmt.Sprintf("q%d", n), "f").Count(counters.CallMiss)
		}
		counts := w.Counts()
		require.Less(w, len(counts), 300)
		var all int64
		others := map[string]int64{}
		for _, c := range counts {
			all += c.Misses
			if c.Func == counters.Other {
				others[c.Queue] = c.Misses
			}
		}
		require.EqualValues(w, 2000, all)
		require.EqualValues(w, 950, others["media"])
		require.EqualValues(w, 1, others["q60"])
		require.Greater(w, others[counters.Other], int64(500))
	})
}

func TestCountingAllocatesNothing(t *testing.T) {
	all := counters.New(nil)
	all.Close() // it flushes nothing
	queue, function := strings.Clone("media"), strings.Clone("thumb")
	allocations := testing.AllocsPerRun(1000, func() {
		c := all.Of(queue, function)
		c.Started()
		c.Count(counters.CallMiss)
		c.Observe(counters.AttemptDuration, time.Second)
		c.Ended()
	})
	require.Zero(t, int(allocations))
	require.EqualValues(t, 1001, all.Counts()[0].Misses)
}

func TestCountsTellEverythingThatWasCounted(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.Of("media", "thumb")
		for n, e := range []counters.Event{counters.CallMiss, counters.CallJoined, counters.CallHit, counters.CallComplete, counters.CallFailed, counters.CallCancelled,
			counters.Redelivered, counters.AttemptComplete, counters.AttemptError, counters.AttemptPanic, counters.AttemptTimeout, counters.AttemptLost,
			counters.AttemptCancelled, counters.AttemptHandedBack, counters.CallStale, counters.RefreshStarted, counters.RefreshFailed} {
			for range n + 1 {
				c.Count(e)
			}
		}
		c.Saved(time.Second)
		c.Saved(-time.Hour)
		c.Started()
		c.Started()
		c.Ended()
		for n, s := range []counters.Span{counters.AttemptDuration, counters.CallDuration, counters.QueueWait, counters.Backoff, counters.RetryLateness} {
			c.Observe(s, time.Duration(n+1)*time.Second)
		}
		c.Observe(counters.QueueWait, -time.Hour)
		of := func(d ...time.Duration) (h monitor.Histogram) {
			for _, d := range d {
				h.Buckets[monitor.HistogramBucket(d)]++
				h.Sum += d
			}
			return h
		}
		require.Equal(w, []monitor.Counts{{Queue: "media", Func: "thumb",
			CallCounts:  monitor.CallCounts{Misses: 1, Joined: 2, Hits: 3, Complete: 4, Failed: 5, Cancelled: 6, Stale: 15, Refreshes: 16, RefreshesFailed: 17, Saved: time.Second},
			Redelivered: 7, InFlight: 1,
			Attempts:         monitor.AttemptCounts{Complete: 8, Error: 9, Panic: 10, Timeout: 11, Lost: 12, Cancelled: 13, HandedBack: 14},
			AttemptDurations: of(time.Second), CallDurations: of(2 * time.Second), QueueWaits: of(3*time.Second, 0),
			Backoffs: of(4 * time.Second), RetryLateness: of(5 * time.Second)}}, w.Counts())

		w.Repaired("media", 2, 0)
		w.Repaired("media", 1, 1)
		require.Equal(w, []monitor.Repairs{{Queue: "media", Doorbells: 3, Workers: 1}}, w.Repairs())
	})
}
