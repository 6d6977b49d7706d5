package worker

import (
	"log/slog"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/refcache"
)

// Counts returns what this Worker has counted since it was made: of each function how its attempts and calls went. How
// calls were made is counted by producers.
func (w *Worker) Counts() []monitor.Counts { return w.tally.Counts() }

// Repairs returns what this Worker's sweeps have mended since it was made, by queue.
func (w *Worker) Repairs() []monitor.Repairs { return w.tally.Repairs() }

// RedisErrors returns how many errors of Redis, or on the way to it, this Worker has met, by what it did: the names of
// scripts such as claim and finish, ring, look, dequeue, asynq and note_queue.
func (w *Worker) RedisErrors() map[string]int64 { return w.store.Faults() }

// observed is an attempt that is counted, traced and logged.
type observed struct {
	worker *Worker
	run    *run
	claim  store.ClaimAnswer
	since  time.Time // when the claim was answered
	cell   *counters.Cell
	span   tracing.Span
}

// observe begins to look at an attempt that was claimed; r.ctx gets its span.
func (w *Worker) observe(r *run, claim store.ClaimAnswer) observed {
	task := claim.Record
	r.running = Running{Ref: task.Ref, Function: task.Policy.Name, Attempt: task.Attempt, MaxRetries: task.Policy.MaxRetries}
	o := observed{worker: w, run: r, claim: claim, since: time.Now(), cell: w.tally.Of(task.Ref.Queue(), task.Policy.Name)}
	r.ctx, o.span = w.tracer.Attempt(r.ctx, claim.Trace, task.Ref, task.Policy.Name, task.Attempt)
	r.traceID = o.span.TraceID()

	waited := counters.QueueWait
	if !claim.Due.IsZero() {
		waited = counters.RetryLateness
	}
	o.cell.Observe(waited, task.StartedAt.Sub(claim.Ready()))
	o.cell.Started()
	return o
}

// ended says how the attempt went, and what became of the task.
func (o observed) ended(end ending, f store.Finished) {
	if !f.Current {
		end.event = counters.AttemptCancelled
	}
	o.cell.Ended()
	o.cell.Count(end.event)
	switch end.event {
	case counters.AttemptComplete, counters.AttemptError, counters.AttemptPanic, counters.AttemptTimeout:
		o.cell.Observe(counters.AttemptDuration, end.took)
	}
	switch f.Status {
	case refcache.Retrying:
		o.cell.Observe(counters.Backoff, f.Delay)
	case refcache.Complete, refcache.Failed:
		o.cell.Count(finals[f.Status])
		if since, known := o.began(); known {
			o.cell.Observe(counters.CallDuration, o.claim.Record.ReadAt.Sub(since)+time.Since(o.since))
		}
	}
	result := results[end.event]
	o.span.End(result, end.err)
	if log := o.worker.log; log.Enabled(o.run.ctx, slog.LevelDebug) {
		log.Debug("attempt ended", o.run.about("outcome", result, "took", end.took, "status", f.Status)...)
	}
}

// began is when the call was made. Of a later cycle only its first attempt knows.
func (o observed) began() (time.Time, bool) {
	task := o.claim.Record
	if task.Cycle > 1 {
		return o.claim.Ready(), task.Attempt == 1
	}
	return task.CreatedAt, true
}

// countLost counts an attempt that was taken from a worker, and what became of its task.
func (w *Worker) countLost(task store.Record) {
	cell := w.tally.Of(task.Ref.Queue(), task.Policy.Name)
	cell.Count(counters.AttemptLost)
	if task.Status == refcache.Failed {
		cell.Count(counters.CallFailed)
	} else {
		cell.Count(counters.Redelivered)
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
func (r *run) about(more ...any) []any {
	keys := []any{"ref_id", r.ref, "func", r.running.Function, "attempt", r.running.Attempt}
	if r.traceID != "" {
		keys = append(keys, "trace_id", r.traceID)
	}
	return append(keys, more...)
}
