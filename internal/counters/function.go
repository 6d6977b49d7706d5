package counters

import (
	"sync/atomic"
	"time"

	"github.com/refq/refq/monitor"
)

// Event is something that is counted.
type Event int

const (
	CallHit Event = iota // calls, as they are made …
	CallStale
	CallJoined
	CallMiss
	RefreshStarted
	RefreshFailed
	runSaved     // nanoseconds, by [Function.Saved]
	CallComplete // … and as they end
	CallFailed
	CallCancelled
	Redelivered
	AttemptComplete // attempts, as they end
	AttemptError
	AttemptPanic
	AttemptTimeout
	AttemptLost
	AttemptCancelled
	AttemptHandedBack
	events
)

// Span is a duration that is counted.
type Span int

const (
	AttemptDuration Span = iota
	CallDuration
	QueueWait
	Backoff
	RetryLateness
	spans
)

// Function counts for one function in one queue. It is safe for concurrent use.
type Function struct {
	key      key
	counters *Counters
	events   [events]atomic.Int64
	running  atomic.Int64
	spans    [spans]histogram
	flushed  monitor.FunctionStats // guarded by counters.flushing
}

type histogram struct {
	buckets [monitor.HistogramBuckets]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

// Count counts an event.
func (f *Function) Count(e Event) {
	f.events[e].Add(1)
	f.counters.due()
}

// Saved counts how long a run took whose result was the answer.
func (f *Function) Saved(d time.Duration) {
	f.events[runSaved].Add(int64(max(0, d)))
	f.counters.due()
}

// Observe counts a duration; a negative one, which clocks that are set make, as 0.
func (f *Function) Observe(s Span, d time.Duration) {
	d = max(0, d)
	f.spans[s].buckets[monitor.HistogramBucket(d)].Add(1)
	f.spans[s].sum.Add(int64(d))
}

// Started counts an attempt as running until Ended is called.
func (f *Function) Started() { f.running.Add(1) }

// Ended follows on Started.
func (f *Function) Ended() { f.running.Add(-1) }

func (f *Function) counts() monitor.Counts {
	n := func(e Event) int64 { return f.events[e].Load() }
	return monitor.Counts{
		Queue: f.key.queue, Func: f.key.function, CallCounts: f.calls(),
		Attempts: monitor.AttemptCounts{Complete: n(AttemptComplete), Error: n(AttemptError), Panic: n(AttemptPanic),
			Timeout: n(AttemptTimeout), Lost: n(AttemptLost), Cancelled: n(AttemptCancelled), HandedBack: n(AttemptHandedBack)},
		Redelivered: n(Redelivered), InFlight: f.running.Load(),
		AttemptDurations: f.spans[AttemptDuration].read(), CallDurations: f.spans[CallDuration].read(),
		QueueWaits: f.spans[QueueWait].read(), Backoffs: f.spans[Backoff].read(), RetryLateness: f.spans[RetryLateness].read(),
	}
}

// stats is what goes to Redis.
func (f *Function) stats() monitor.FunctionStats {
	durations := f.spans[AttemptDuration].read()
	durations.Sum = 0
	return monitor.FunctionStats{Queue: f.key.queue, Func: f.key.function, CallCounts: f.calls(), Durations: durations}
}

func (f *Function) calls() monitor.CallCounts {
	n := func(e Event) int64 { return f.events[e].Load() }
	return monitor.CallCounts{Hits: n(CallHit), Stale: n(CallStale), Joined: n(CallJoined), Misses: n(CallMiss),
		Refreshes: n(RefreshStarted), RefreshesFailed: n(RefreshFailed), Saved: time.Duration(n(runSaved)),
		Complete: n(CallComplete), Failed: n(CallFailed), Cancelled: n(CallCancelled)}
}

func (h *histogram) read() (read monitor.Histogram) {
	for i := range h.buckets {
		read.Buckets[i] = h.buckets[i].Load()
	}
	read.Sum = time.Duration(h.sum.Load())
	return read
}
