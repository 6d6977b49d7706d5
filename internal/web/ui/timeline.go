package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/errpattern"
	"github.com/refq/refq/refcache"
)

// timeline is what happened to a call, the newest first.
type timeline struct {
	Legs    []leg
	NotKept string // what is missing, in a sentence; empty: nothing
}

// leg is the way from a beginning, which somebody gave it, to an end. Its moments are drawn to one scale.
type leg struct {
	Cycle   int
	Span    time.Duration
	Moments []moment // the newest first; the beginning is the last

	start, end time.Time
	inFlight   bool      // it is the leg that goes on
	waitsSince time.Time // when the last wait of that began; zero: with the leg
}

// moment is something that happened, that happens, or that is to come.
type moment struct {
	ID       string    // the same as long as the call lives
	Kind     string    // what it looks like: begun, line, waiting, delay, running, complete, failed, lost, cancelled, moved, ended
	At       time.Time // when it began; zero: not known
	Title    string
	By       string // who did it, or the worker that ran it
	Duration time.Duration
	Error    errorText
	Again    bool          // the Error is that of the attempt after it, to the letter
	Delay    time.Duration // before the next attempt; 0: there was none
	Due      time.Time     // of the next attempt, while it is waited for
	Bar      *stretch      // nil: it took no time
	After    time.Duration // how far into its leg it began

	end time.Time // of what takes time
}

// stretch is where and how long something was, in thousandths of its leg.
type stretch struct {
	Kind string
	X, W int
}

const (
	barWidth = 1000
	barLeast = 4 // or it could not be seen
)

// newTimeline tells the story of a task as it stood when it was read.
func newTimeline(t admin.Task) timeline {
	story := storyOf(t)
	markRepeated(story)
	line := timeline{NotKept: notKept(t.TaskInfo)}
	legs := legsOf(t, story)
	last := &legs[len(legs)-1]
	last.inFlight, last.waitsSince = t.Status.InFlight(), t.WaitsSince
	for _, part := range legs {
		part.finish()
		slices.Reverse(part.Moments)
		line.Legs = append(line.Legs, part)
	}
	slices.Reverse(line.Legs)
	return line
}

func notKept(t refcache.TaskInfo) string {
	var parts []string
	if n := t.AttemptsTotal - len(t.RetryHistory); n > 0 {
		parts = append(parts, plural(n, "earlier attempt", "earlier attempts"))
	}
	if n := t.EventsTotal - len(t.Events); n > 0 {
		parts = append(parts, plural(n, "earlier event", "earlier events"))
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " and ") + " not kept."
}

// happening is a moment in a cycle.
type happening struct {
	moment
	begins bool // a leg
	cycle  int  // that it is of, 0: that of what was before; of one that begins a leg, how many more it is than before
}

// storyOf is what is known of a task, in order.
func storyOf(t admin.Task) []happening {
	var story []happening
	for _, a := range t.RetryHistory {
		story = append(story, happening{moment: attemptMoment(a), cycle: a.Cycle})
	}
	for _, e := range t.Events {
		story = append(story, eventHappening(e))
	}
	if now, ok := presentMoment(t); ok {
		story = append(story, happening{moment: now, cycle: t.Cycle})
	}
	slices.SortStableFunc(story, func(a, b happening) int { return a.order().Compare(b.order()) })
	return story
}

// markRepeated marks errors that say nothing new to who reads the newest first.
func markRepeated(story []happening) {
	newer := ""
	for i := range slices.Backward(story) {
		m := &story[i].moment
		if m.Error.Head == "" {
			continue
		}
		text := cmp.Or(m.Error.Whole, m.Error.Head)
		m.Again, newer = text == newer, text
	}
}

// order is when a moment is over: an attempt that is cancelled comes before the event that cancelled it.
func (h happening) order() time.Time {
	if h.end.IsZero() {
		return h.At
	}
	return h.end
}

var causeWords = map[refcache.Cause]string{
	refcache.CauseError:     "failed",
	refcache.CausePanic:     "panicked",
	refcache.CauseTimeout:   "timed out",
	refcache.CauseLost:      "was lost with its worker",
	refcache.CauseCancelled: "was cancelled",
}

func attemptMoment(a refcache.Attempt) moment {
	kind := "failed"
	switch a.Cause {
	case refcache.CauseLost, refcache.CauseCancelled:
		kind = string(a.Cause)
	}
	return moment{ID: fmt.Sprintf("attempt-%d-%d", a.Cycle, a.Attempt), Kind: kind, At: a.StartedAt, end: a.Timestamp,
		Title: fmt.Sprintf("Attempt %d %s", a.Attempt, cmp.Or(causeWords[a.Cause], string(a.Cause))), By: a.Worker,
		Duration: a.Duration, Error: splitError(a.Error), Delay: a.Delay}
}

func eventHappening(e refcache.Event) happening {
	h := happening{moment: moment{ID: fmt.Sprintf("event-%d-%s", e.At.UnixMilli(), e.Kind), Kind: "moved", At: e.At, By: e.By}}
	switch e.Kind {
	case refcache.EventRetry:
		h.Kind, h.Title, h.begins = "begun", "Retried by hand", true
	case refcache.EventFresh:
		h.Kind, h.Title, h.begins, h.cycle = "begun", "Retried by hand with a fresh budget", true, 1
	case refcache.EventCancel:
		h.Kind, h.Title = "cancelled", "Cancelled"
	case refcache.EventRedelivered:
		h.Title = "Taken from the worker that was lost"
	case refcache.EventHandedBack:
		h.Title = "Handed back by a worker that could not run it"
		if e.Times > 1 && e.Since != nil {
			h.Title = fmt.Sprintf("Handed back %d times within %s by workers that could not run it", e.Times, duration(e.At.Sub(*e.Since)))
		}
	case refcache.EventUnavailable:
		h.Title, h.Error = "Told that what it needs is unavailable", splitError(e.Note)
	case refcache.EventRefreshFailed:
		h.Kind, h.Title = "failed", "Refresh failed, the old result stays"
	default:
		h.Title = string(e.Kind)
	}
	return h
}

// presentMoment is what happens now, or how it ended, but for what events and attempts tell.
func presentMoment(t admin.Task) (moment, bool) {
	m := moment{ID: "now"}
	switch t.Status {
	case refcache.Waiting:
		m.Kind, m.At, m.end, m.Title = "line", t.ReadAt, t.ReadAt, "Stands in line"
	case refcache.Pending:
		m.Kind, m.At, m.end, m.Title = "waiting", t.ReadAt, t.ReadAt, "Waits for a worker"
	case refcache.Processing:
		m.Kind, m.At, m.end = "running", timeOf(t.StartedAt), t.ReadAt
		m.Title, m.By, m.Duration = fmt.Sprintf("Attempt %d runs", t.Attempt), t.Worker, t.ReadAt.Sub(m.At)
	case refcache.Retrying:
		m.Kind, m.At, m.Due = "delay", t.ReadAt, timeOf(t.NextRetryAt)
		m.end = m.Due
		m.Title = fmt.Sprintf("Retry %d of %d", t.RetryCount, t.MaxRetries)
	case refcache.Complete:
		if t.IsStale {
			m.Kind, m.At, m.Title = "complete", timeOf(t.CompletedAt), "Complete with the old result"
			break
		}
		m.Kind, m.At, m.end = "complete", timeOf(t.StartedAt), timeOf(t.CompletedAt)
		m.Title = fmt.Sprintf("Attempt %d is complete", t.Attempt)
		if !m.At.IsZero() {
			m.Duration = m.end.Sub(m.At)
		}
	case refcache.Failed:
		m.Kind, m.At, m.Title = "ended", timeOf(t.CompletedAt), "Failed for good: "+whyNoRetry(t.TaskInfo)
	default:
		return moment{}, false // an event tells
	}
	if isHeldUp(t.TaskInfo) && t.Status != refcache.Retrying {
		m.Title = "Held up"
	}
	return m, true
}

// isHeldUp is whether the note says why nobody runs the call.
func isHeldUp(t refcache.TaskInfo) bool { return t.Unserved != "" || t.Paused != nil }

// whyNoRetry tells why a failed task is not tried again by itself.
func whyNoRetry(t refcache.TaskInfo) string {
	switch {
	case t.MaxRetries == 0:
		return "it has no retries"
	case t.Exhausted:
		if t.MaxRetries == 1 {
			return "its only retry is used"
		}
		return fmt.Sprintf("all %d retries are used", t.MaxRetries)
	case t.ErrorCause == refcache.CauseLost:
		return "too many of its workers were lost"
	}
	return "its error says that no retry would help"
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// legsOf parts a story, the first leg first.
func legsOf(t admin.Task, story []happening) []leg {
	begin := func(id, title string, at time.Time, cycle int) leg {
		return leg{Cycle: cycle, start: at, end: at, Moments: []moment{{ID: id, Kind: "begun", At: at, Title: title}}}
	}
	legs := []leg{begin("created", "Created", t.CreatedAt, 1)}
	hidden := t.AttemptsTotal > len(t.RetryHistory) || t.EventsTotal > len(t.Events)
	for i, h := range story {
		last := &legs[len(legs)-1]
		switch {
		case h.begins:
			legs = append(legs, leg{Cycle: last.Cycle + h.cycle, start: h.At, end: h.At})
		case hidden && i == 0:
			legs = append(legs, begin("earlier", "What was before is not kept", h.At, max(1, h.cycle)))
		case h.cycle > last.Cycle && len(last.Moments) == 1: // the beginnings of some cycles are not kept
			last.Cycle = h.cycle
		case h.cycle > last.Cycle:
			legs = append(legs, begin(fmt.Sprintf("cycle-%d", h.cycle), "Called again", h.At, h.cycle))
		}
		last = &legs[len(legs)-1]
		last.Moments = append(last.Moments, h.moment)
	}
	return legs
}

// finish puts the waits between what happened, and draws the bars.
func (l *leg) finish() {
	l.fillGaps()
	for _, m := range l.Moments {
		for _, at := range []time.Time{m.At, m.end} {
			if at.After(l.end) {
				l.end = at
			}
		}
	}
	if l.Span = max(0, l.end.Sub(l.start)); l.Span == 0 {
		return
	}
	for i := range l.Moments {
		m := &l.Moments[i]
		m.After = max(0, m.At.Sub(l.start))
		if m.takesTime() {
			m.Bar = &stretch{m.Kind, l.place(m.At), max(barLeast, l.place(m.end)-l.place(m.At))}
			m.Bar.X = min(m.Bar.X, barWidth-m.Bar.W) // what is seen of it must not stand outside
		}
	}
}

// IsMilestone reports whether people look for the time of day when it was, rather than for how long after another it was.
func (m moment) IsMilestone() bool {
	return m.Kind == "begun" || m.Kind == "ended" || m.Kind == "cancelled" && m.end.IsZero()
}

func (m *moment) takesTime() bool { return !m.At.IsZero() && !m.end.IsZero() }

// place is where an instant stands in a bar.
func (l *leg) place(at time.Time) int {
	return max(0, min(barWidth, int(float64(at.Sub(l.start))/float64(l.Span)*barWidth)))
}

// shortestGap is what a worker may take to notice a call.
const shortestGap = 100 * time.Millisecond

// fillGaps adds what was waited: the delay before a retry, in line, and for a worker.
func (l *leg) fillGaps() {
	var all []moment
	free, delay := l.start, time.Duration(0)
	for _, m := range l.Moments {
		switch {
		case m.Kind == "line" && l.waitsSince.Sub(free) >= shortestGap:
			all = append(all, waited(free, l.waitsSince, delay, forSomething))
			m.At, delay, m.Duration = l.waitsSince, 0, m.end.Sub(l.waitsSince)
		case m.Kind == "waiting" && l.letIn(free, m.end, delay):
			all = append(all, waited(free, l.waitsSince, delay, forItsTurn))
			m.At, delay, m.Duration = l.waitsSince, 0, m.end.Sub(l.waitsSince)
		case m.Kind == "line" || m.Kind == "waiting" || m.Kind == "delay": // it is a gap itself
			m.At, delay = free, 0
			m.Duration = m.end.Sub(m.At)
		case m.takesTime() || m.Kind == "cancelled":
			all = append(all, l.gap(free, m.At, delay)...)
			if free, delay = m.At, 0; m.takesTime() {
				free, delay = m.end, m.Delay
			}
		}
		all = append(all, m)
	}
	l.Moments = all
}

// gap is what was waited from one moment to another. Of the last wait of a call in flight it is known since when it was for a worker.
func (l *leg) gap(from, to time.Time, delay time.Duration) []moment {
	since := l.waitsSince
	switch {
	case to.Sub(from) < shortestGap && delay == 0:
		return nil
	case !l.inFlight || since.After(to):
		return []moment{waited(from, to, delay, forSomething)}
	case !l.letIn(from, to, delay):
		return []moment{waited(from, to, delay, forWorker)}
	}
	parts := []moment{waited(from, since, delay, forItsTurn)}
	if to.Sub(since) >= shortestGap {
		parts = append(parts, waited(since, to, 0, forWorker))
	}
	return parts
}

// letIn reports whether the call was let in between two moments, and not handed back then.
func (l *leg) letIn(from, to time.Time, delay time.Duration) bool {
	if l.waitsSince.IsZero() {
		return false
	}
	moved := slices.ContainsFunc(l.Moments, func(m moment) bool { return m.Kind == "moved" && m.At.Equal(l.waitsSince) })
	return !moved && l.waitsSince.Sub(from)-delay >= shortestGap && !l.waitsSince.After(to)
}

// What was waited for. The record of a call that has ended does not tell.
const (
	forSomething = iota
	forWorker
	forItsTurn
)

var (
	waitTitles = [...]string{forSomething: "Waited to start", forWorker: "Waited for a worker", forItsTurn: "Stood in line"}
	moreTitles = [...]string{forSomething: "", forWorker: " for a worker", forItsTurn: " in line"}
)

func waited(from, to time.Time, delay time.Duration, what int) moment {
	m := moment{ID: fmt.Sprintf("wait-%d", from.UnixMilli()), Kind: "waiting", At: from, end: to, Duration: max(0, to.Sub(from))}
	if what == forItsTurn {
		m.Kind = "line"
	}
	switch more := m.Duration - delay; {
	case delay == 0:
		m.Title = waitTitles[what]
	case more < -shortestGap:
		m.Kind, m.Title = "delay", "Waited, of a delay of "+duration(delay)
	case more < time.Second:
		m.Kind, m.Title = "delay", "Delay before the retry"
	default:
		m.Kind, m.Title = "delay", fmt.Sprintf("Delay of %s, and %s more%s", duration(delay), duration(more), moreTitles[what])
	}
	return m
}

// errorText is an error as people read it: what it says, and, folded, the rest of it.
type errorText struct {
	Head  string
	Whole string // empty: Head is all
	Lines int    // of Whole
}

const (
	headLines = 3
	headBytes = 500
)

// splitError parts an error before its stack.
func splitError(text string) errorText {
	text = strings.TrimSpace(text)
	lines := strings.Count(text, "\n") + 1
	if line := errpattern.Line(text); !strings.HasPrefix(text, line) {
		return errorText{line, text, lines}
	}
	var head []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if len(head) == headLines || strings.TrimSpace(line) == "" || strings.HasPrefix(line, "goroutine ") {
			break
		}
		head = append(head, line)
	}
	e := errorText{Head: strings.Join(head, "\n")}
	if len(e.Head) > headBytes {
		e.Head = strings.ToValidUTF8(e.Head[:headBytes], "") + "…"
	}
	if e.Head != text {
		e.Whole, e.Lines = text, lines
	}
	return e
}
