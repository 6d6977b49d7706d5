package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

const (
	// pendingLong: the longest that people let a Call wait is of this order; beyond it the queue is backing up.
	pendingLong = time.Minute
	// archiveFull: asynq cuts its archive at 9,999 entries.
	archiveFull = 9_000
	// maxNamed is how many things of a kind a finding names.
	maxNamed = 5
)

func (h Health) living() []WorkerHealth {
	return slices.DeleteFunc(slices.Clone(h.Workers), func(w WorkerHealth) bool { return !w.Alive })
}

// serving returns the living workers of a queue.
func (h Health) serving(queue string) []WorkerHealth {
	return slices.DeleteFunc(h.living(), func(w WorkerHealth) bool { return !slices.Contains(w.Queues, queue) })
}

// Serves reports whether a living worker of the queue handles the function. One that has not told its functions yet may.
func (h Health) Serves(queue string, f WaitingFunction) bool {
	return slices.ContainsFunc(h.serving(queue), func(w WorkerHealth) bool {
		return w.Functions == nil || slices.Contains(w.Functions, f.String())
	})
}

// within names the namespace whose calls a finding is about; nothing if they are all.
func (h Health) within() string {
	if h.Namespace == "" {
		return ""
	}
	return " of namespace " + h.Namespace
}

// everywhere says of a number that it is of all namespaces, where others are not.
func (h Health) everywhere() string {
	if h.within() == "" {
		return ""
	}
	return " in all namespaces"
}

func (h Health) workers() Finding {
	const remedy = "start one: refq worker, or a program of yours that calls worker.Run"
	living := h.living()
	var functions []string
	running, waiting := 0, 0
	for _, w := range living {
		functions = append(functions, w.Functions...)
		running += w.Running
	}
	for _, q := range h.Queues {
		waiting += q.InLine + q.Pending + q.Retrying
	}
	slices.Sort(functions)
	if idle := notAsking(living); len(idle) > 0 {
		return LevelWarning.of("its log and its /readyz say why; if they do not, restart it",
			"%d alive, but not asking for work for more than 15 s: %s", len(living), named(idle))
	}
	switch {
	case len(living) > 0:
		return fine("%d alive, %d running; %s", len(living), running, named(slices.Compact(functions)))
	case waiting > 0:
		return LevelWrong.of(remedy, "no worker is alive, and calls wait%s: %d", h.everywhere(), waiting)
	}
	return LevelWarning.of(remedy, "no worker is alive")
}

// notAsking names workers that beat and do not ask for work, each with the queues.
func notAsking(living []WorkerHealth) (names []string) {
	for _, w := range living {
		if len(w.NotAsking) > 0 {
			names = append(names, fmt.Sprintf("%s in %s", w.ID, named(w.NotAsking)))
		}
	}
	return names
}

// named lists a few names.
func named(names []string) string {
	if len(names) > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
	}
	return strings.Join(names, ", ")
}

func (h Health) unserved() Finding {
	var unserved []string
	partial := ""
	for _, q := range h.Queues {
		for _, f := range q.Waiting {
			if !h.Serves(q.Name, f) {
				unserved = append(unserved, fmt.Sprintf("%s in queue %s (calls: %d)", f, q.Name, f.Calls))
			}
		}
		if q.Partial {
			partial = ", as far as was looked"
		}
	}
	if len(unserved) == 0 {
		return fine("every pending or retrying call%s has a worker for its function%s", h.within(), partial)
	}
	return LevelWrong.of("start a worker with that function and version in that queue, or cancel the calls",
		"no worker for %s%s%s", named(unserved), h.within(), partial)
}

func (h Health) paused() Finding {
	if len(h.Pauses) == 0 {
		return fine("nothing is paused")
	}
	texts := make([]string, len(h.Pauses))
	for i, p := range h.Pauses {
		texts[i] = p.String()
	}
	fact := strings.Join(texts[:min(len(texts), maxNamed)], "; ")
	if more := len(texts) - maxNamed; more > 0 {
		fact += fmt.Sprintf("; and %d more", more)
	}
	return LevelWarning.of("when calls may start again: refq resume, as refq pauses names it", "%s", fact)
}

// lateIn is what to do about calls of a queue that start late.
func (h Health) lateIn(queue string) string {
	const remedy = "start more workers, or raise their concurrency; if they are idle, look into their logs"
	if slices.ContainsFunc(h.Pauses, func(p refcache.Pause) bool { return p.Func != "" || p.Queue == queue }) {
		return "they may be what is paused; if not, " + remedy
	}
	return remedy
}

func (h Health) oldestPending() Finding {
	var oldest QueueHealth
	pending := 0
	for _, q := range h.Queues {
		pending += q.Pending
		if q.OldestPending >= oldest.OldestPending && q.Pending > 0 {
			oldest = q
		}
	}
	switch {
	case pending == 0:
		return fine("no call is pending")
	case oldest.OldestPending == 0 && h.within() != "":
		return fine("no call%s is pending; pending%s: %d", h.within(), h.everywhere(), pending)
	case oldest.OldestPending > pendingLong:
		return LevelWarning.of(h.lateIn(oldest.Name),
			"pending for %s in queue %s; pending there%s: %d", roughly(oldest.OldestPending), oldest.Name, h.everywhere(), oldest.Pending)
	}
	return fine("pending for %s; pending in all%s: %d", roughly(oldest.OldestPending), strings.TrimPrefix(h.everywhere(), " in all"), pending)
}

func (h Health) overdue() Finding {
	var latest QueueHealth
	overdue := 0
	for _, q := range h.Queues {
		overdue += q.Overdue
		if q.OldestOverdue >= latest.OldestOverdue && q.Overdue > 0 {
			latest = q
		}
	}
	if overdue == 0 {
		return fine("no retry is late")
	}
	return LevelWarning.of(h.lateIn(latest.Name),
		"late retries%s: %d, by up to %s in queue %s", h.everywhere(), overdue, roughly(latest.OldestOverdue), latest.Name)
}

func (h Health) leftovers() Finding {
	worst := fine("none")
	var facts, remedies []string
	note := func(level Level, remedy, format string, args ...any) {
		if worst.Level != LevelWrong {
			worst.Level = level
		}
		facts, remedies = append(facts, fmt.Sprintf(format, args...)), append(remedies, remedy)
	}
	for _, q := range h.Queues {
		switch {
		case q.Lost > 0 && len(h.serving(q.Name)) == 0:
			note(LevelWrong, "start a worker of that queue: it takes them over", "attempts of dead workers in queue %s, and no worker that takes them over: %d", q.Name, q.Lost)
		case q.Lost > 0:
			note(LevelWarning, "wait 10 s: workers take them over; then look into the workers' logs", "attempts of dead workers in queue %s: %d", q.Name, q.Lost)
		}
		if q.Gone > 0 {
			note(LevelWarning, "call again; find out who evicts or deletes keys of Redis", "calls of queue %s whose record is gone: %d", q.Name, q.Gone)
		}
		if q.Archived >= archiveFull {
			note(LevelWarning, "delete archived tasks in asynq's web UI: refq needs none of them", "asynq's archive of queue %s is almost full: %d", q.Name, q.Archived)
		}
	}
	if len(facts) > 0 {
		slices.Sort(remedies)
		worst.Fact, worst.Remedy = strings.Join(facts, "; "), strings.Join(slices.Compact(remedies), "; ")
	}
	return worst
}
