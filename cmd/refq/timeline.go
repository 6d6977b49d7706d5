package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

// moment is a line of the timeline, with what stands below it.
type moment struct {
	at     time.Time // zero: no time is shown
	colour string
	text   string
	below  string
}

// timeline tells what happened to a task, in order, and what comes next.
func (p *page) timeline(i refcache.TaskInfo) {
	past := p.past(i)
	slices.SortStableFunc(past, func(a, b moment) int { return a.at.Compare(b.at) })
	moments := []moment{{at: i.CreatedAt, text: "created"}}
	if hidden := i.AttemptsTotal - len(i.RetryHistory); hidden > 0 {
		moments = append(moments, moment{colour: term.Faint, text: "… " + term.Plural(hidden, "earlier attempt is", "earlier attempts are") + " not kept"})
	}
	if hidden := i.EventsTotal - len(i.Events); hidden > 0 {
		moments = append(moments, moment{colour: term.Faint, text: "… " + term.Plural(hidden, "earlier event is", "earlier events are") + " not kept"})
	}
	moments = append(append(moments, past...), p.present(i)...)

	day := ""
	for _, m := range moments {
		if d := m.at.Local().Format("2006-01-02"); !m.at.IsZero() && d != day {
			p.Line("  %s", p.Paint(term.Faint, d))
			day = d
		}
		p.moment(m)
	}
}

const clockForm = "15:04:05.000"

func (p *page) moment(m moment) {
	clock := strings.Repeat(" ", len(clockForm))
	if !m.at.IsZero() {
		clock = m.at.Local().Format(clockForm)
	}
	p.Line("  %s  %s", p.Paint(term.Faint, clock), p.Paint(m.colour, m.text))
	if m.below == "" {
		return
	}
	for line := range strings.SplitSeq(m.below, "\n") {
		p.Line("  %*s    %s", len(clockForm), "", line)
	}
}

// past is what is on record: attempts by their end, and events. An attempt comes before an event of the same moment.
func (p *page) past(i refcache.TaskInfo) []moment {
	var past []moment
	for _, a := range i.RetryHistory {
		past = append(past, p.attempt(a, i.Cycle))
	}
	for _, e := range i.Events {
		text, known := eventTexts[e.Kind]
		if !known {
			text = term.Printable(string(e.Kind))
		}
		if e.Times > 1 && e.Since != nil {
			text += fmt.Sprintf(" %d times since %s, the last time", e.Times, e.Since.Local().Format("15:04:05"))
		}
		if e.Kind != refcache.EventRefreshFailed { // which nobody does
			text += " by " + term.Printable(e.By)
		}
		m := moment{at: e.At, colour: term.Bold, text: text}
		if e.Note != "" {
			m.below = p.errorText(e.Note, errorLines)
		}
		past = append(past, m)
	}
	return past
}

var eventTexts = map[refcache.EventKind]string{
	refcache.EventRetry:         "retried by hand",
	refcache.EventFresh:         "retried by hand with a fresh budget",
	refcache.EventCancel:        "cancelled",
	refcache.EventRedelivered:   "given to another worker",
	refcache.EventHandedBack:    "handed back",
	refcache.EventUnavailable:   "told that what it needs is unavailable",
	refcache.EventRefreshFailed: "the refresh came to nothing, the old result stays",
}

var causeTexts = map[refcache.Cause]string{
	refcache.CauseError:     "failed",
	refcache.CausePanic:     "panicked",
	refcache.CauseTimeout:   "timed out",
	refcache.CauseLost:      "was lost",
	refcache.CauseCancelled: "was cancelled",
}

func (p *page) attempt(a refcache.Attempt, cycle int) moment {
	colour, what := term.Red, causeTexts[a.Cause]
	if a.Cause == refcache.CauseLost || a.Cause == refcache.CauseCancelled {
		colour = term.Yellow
	}
	text := fmt.Sprintf("%s %s after %s on %s", attemptName(a.Attempt, a.Cycle, cycle), what, term.Short(a.Duration), term.Printable(a.Worker))
	below := p.errorText(a.Error, errorLines)
	if a.Delay > 0 {
		below += "\n" + p.Paint(term.Faint, "next attempt "+term.Short(a.Delay)+" later")
	}
	return moment{a.Timestamp, colour, text, below}
}

// attemptName names the cycle, too, if there is more than one.
func attemptName(attempt, cycle, cycles int) string {
	if cycles == 1 {
		return fmt.Sprintf("attempt %d", attempt)
	}
	return fmt.Sprintf("attempt %d of cycle %d", attempt, cycle)
}

// present is how the task stands, and what comes next.
func (p *page) present(i refcache.TaskInfo) []moment {
	colour := term.StatusColours[i.Status] + ";" + term.Bold
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	heldUp := ""
	if i.Unserved != "" || i.Paused != nil {
		heldUp = term.Printable(i.Note)
	}
	switch i.Status {
	case refcache.Waiting:
		return []moment{{colour: colour, text: cmp.Or(heldUp, "waits for its turn")}}
	case refcache.Pending:
		return []moment{{colour: colour, text: cmp.Or(heldUp, "waits for a worker")}}
	case refcache.Processing:
		text := fmt.Sprintf("%s runs for %s on %s", attemptName(i.Attempt, i.Cycle, i.Cycle),
			term.Short(time.Since(at(i.StartedAt))), term.Printable(i.Worker))
		m := moment{at: at(i.StartedAt), colour: colour, text: text}
		if i.Progress != nil {
			m.below = progressText(*i.Progress)
		}
		return []moment{m}
	case refcache.Retrying:
		text := fmt.Sprintf("retry %d of %d is %s", i.RetryCount, i.MaxRetries, term.Ahead(at(i.NextRetryAt)))
		return []moment{{at: at(i.NextRetryAt), colour: colour, text: text, below: heldUp}}
	case refcache.Complete:
		text := "complete"
		if i.IsStale {
			text += " with the old result, that of " + at(i.AsOf).Local().Format(time.DateTime)
			return []moment{{at: at(i.CompletedAt), colour: colour, text: text}}
		}
		if i.StartedAt != nil && i.CompletedAt != nil {
			text = fmt.Sprintf("complete: %s took %s", attemptName(i.Attempt, i.Cycle, i.Cycle), term.Short(i.CompletedAt.Sub(*i.StartedAt)))
		}
		return []moment{{at: at(i.CompletedAt), colour: colour, text: text}}
	}
	text := string(i.Status)
	if i.Exhausted {
		text += ": no retries left"
	}
	if i.Status == refcache.Cancelled {
		return nil // an event says so, and by whom
	}
	return []moment{{at: at(i.CompletedAt), colour: colour, text: text}}
}
