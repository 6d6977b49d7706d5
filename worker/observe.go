package worker

import (
	"log/slog"
	"time"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// Counts returns what this Worker has counted since it was made: of each function how its attempts and calls went. How
// calls were made is counted by producers.
func (w *Worker) Counts() []monitor.Counts { return w.counters.Counts() }

// Repairs returns what this Worker's sweeps have mended since it was made, by queue.
func (w *Worker) Repairs() []monitor.Repairs { return w.counters.Repairs() }

// RedisErrors returns how many errors of Redis, or on the way to it, this Worker has met, by what it did: the names of
// scripts such as claim and finish, enqueue, inspect, dequeue, asynq and note_queue.
func (w *Worker) RedisErrors() map[string]int64 { return w.store.ErrorCounts() }

// observe counts and traces an attempt that was claimed; a.ctx gets its span. The function that it returns counts how the
// attempt went, ends the span and writes the line of the log.
func (w *Worker) observe(a *attempt) (ended func()) {
	task := a.task()
	function := w.counters.Of(task.Ref.Queue(), task.Policy.Name)
	ctx, span := w.tracer.Attempt(a.ctx, a.claimed.Trace, task.Ref, task.Policy.Name, task.Attempt)
	a.ctx, a.traceID = ctx, span.TraceID()

	waited := counters.QueueWait
	if !a.claimed.Due.IsZero() {
		waited = counters.RetryLateness
	}
	function.Observe(waited, task.StartedAt.Sub(a.claimed.Ready()))
	function.Started()
	return func() {
		event := a.event
		switch {
		case !a.finished.Current:
			event = counters.AttemptCancelled
		case event == counters.AttemptHandedBack && a.finished.Status == refcache.Failed:
			event, a.err = counters.AttemptError, a.lack // it was handed on for too long
		}
		a.count(function, event)
		span.End(results[event], a.err)
		if w.log.Enabled(a.ctx, slog.LevelDebug) {
			w.log.Debug("attempt ended", a.about("outcome", results[event], "took", a.took, "status", a.finished.Status)...)
		}
	}
}

// count counts how the attempt went, and what became of the call.
func (a *attempt) count(function *counters.Function, event counters.Event) {
	function.Ended()
	function.Count(event)
	switch event {
	case counters.AttemptComplete, counters.AttemptError, counters.AttemptPanic, counters.AttemptTimeout:
		function.Observe(counters.AttemptDuration, a.took)
	}
	switch status := a.finished.Status; status {
	case refcache.Retrying:
		function.Observe(counters.Backoff, a.finished.Delay)
	case refcache.Complete, refcache.Failed:
		function.Count(finals[status])
		if status == refcache.Failed && !a.task().ResultFrom.AsOf.IsZero() {
			function.Count(counters.RefreshFailed)
		}
		if since, known := a.made(); known {
			function.Observe(counters.CallDuration, a.task().ReadAt.Sub(since)+time.Since(a.claimedAt))
		}
	}
}

// made is when the call was made. Of a later cycle only its first attempt knows.
func (a *attempt) made() (at time.Time, known bool) {
	task := a.task()
	if task.Cycle > 1 {
		return a.claimed.Ready(), task.Attempt == 1
	}
	return task.CreatedAt, true
}

// countLost counts an attempt that was taken from a worker, and what became of its call.
func (w *Worker) countLost(task store.Record) {
	function := w.counters.Of(task.Ref.Queue(), task.Policy.Name)
	function.Count(counters.AttemptLost)
	if task.Status == refcache.Failed || task.Stale() {
		function.Count(counters.CallFailed)
		if task.Stale() {
			function.Count(counters.RefreshFailed)
		}
	} else {
		function.Count(counters.Redelivered)
	}
}

// causes are the events of attempts that failed.
var causes = map[refcache.Cause]counters.Event{
	refcache.CauseError:   counters.AttemptError,
	refcache.CausePanic:   counters.AttemptPanic,
	refcache.CauseTimeout: counters.AttemptTimeout,
}

var finals = map[refcache.Status]counters.Event{refcache.Complete: counters.CallComplete, refcache.Failed: counters.CallFailed}

// results name events in spans and in the log.
var results = map[counters.Event]string{
	counters.AttemptComplete: "complete", counters.AttemptError: "error", counters.AttemptPanic: "panic", counters.AttemptTimeout: "timeout",
	counters.AttemptCancelled: "cancelled", counters.AttemptHandedBack: "handed_back",
}

// about are the log's keys of the attempt, and more.
func (a *attempt) about(more ...any) []any {
	keys := []any{"ref_id", a.ref, "func", a.task().Policy.Name, "attempt", a.task().Attempt}
	if a.traceID != "" {
		keys = append(keys, "trace_id", a.traceID)
	}
	return append(keys, more...)
}
