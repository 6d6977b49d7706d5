package counters

import (
	"sync/atomic"
	"time"

	"github.com/refq/refq/monitor"
)

// Event is something that is counted.
type Event int

const (
	CallNew Event = iota // calls, as they are made …
	CallJoined
	CallHit
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

// Cell counts for one function in one queue. It is safe for concurrent use.
type Cell struct {
	key     key
	tally   *Tally
	events  [events]atomic.Int64
	running atomic.Int64
	spans   [spans]histogram
	flushed monitor.FunctionStats // guarded by tally.flushing
}

type histogram struct {
	buckets [monitor.HistogramBuckets]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

// Count counts an event.
func (c *Cell) Count(e Event) {
	c.events[e].Add(1)
	c.tally.due()
}

// Observe counts a duration; a negative one, which clocks that are set make, as 0.
func (c *Cell) Observe(s Span, d time.Duration) {
	d = max(0, d)
	c.spans[s].buckets[monitor.HistogramBucket(d)].Add(1)
	c.spans[s].sum.Add(int64(d))
}

// Started counts an attempt as running until Ended is called.
func (c *Cell) Started() { c.running.Add(1) }

// Ended follows on Started.
func (c *Cell) Ended() { c.running.Add(-1) }

func (c *Cell) counts() monitor.Counts {
	n := func(e Event) int64 { return c.events[e].Load() }
	return monitor.Counts{
		Queue: c.key.queue, Func: c.key.function, CallCounts: c.calls(),
		Attempts: monitor.AttemptCounts{Complete: n(AttemptComplete), Error: n(AttemptError), Panic: n(AttemptPanic),
			Timeout: n(AttemptTimeout), Lost: n(AttemptLost), Cancelled: n(AttemptCancelled), HandedBack: n(AttemptHandedBack)},
		Redelivered: n(Redelivered), InFlight: c.running.Load(),
		AttemptDurations: c.spans[AttemptDuration].read(), CallDurations: c.spans[CallDuration].read(),
		QueueWaits: c.spans[QueueWait].read(), Backoffs: c.spans[Backoff].read(), RetryLateness: c.spans[RetryLateness].read(),
	}
}

// stats is what goes to Redis.
func (c *Cell) stats() monitor.FunctionStats {
	durations := c.spans[AttemptDuration].read()
	durations.Sum = 0
	return monitor.FunctionStats{Queue: c.key.queue, Func: c.key.function, CallCounts: c.calls(), Durations: durations}
}

func (c *Cell) calls() monitor.CallCounts {
	n := func(e Event) int64 { return c.events[e].Load() }
	return monitor.CallCounts{New: n(CallNew), Joined: n(CallJoined), Hits: n(CallHit),
		Complete: n(CallComplete), Failed: n(CallFailed), Cancelled: n(CallCancelled)}
}

func (h *histogram) read() (read monitor.Histogram) {
	for i := range h.buckets {
		read.Buckets[i] = h.buckets[i].Load()
	}
	read.Sum = time.Duration(h.sum.Load())
	return read
}
