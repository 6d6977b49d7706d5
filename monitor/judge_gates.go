package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// stalledLong: sweeps let in within seconds what was forgotten.
	stalledLong = 5 * time.Minute
	// closedLong: what a call needs was unavailable for so long that somebody should know.
	closedLong = time.Hour
)

// gates judges whether calls get their turn.
func (h Health) gates() Finding {
	var found []Finding
	for _, g := range h.Gates {
		found = append(found, judgeGate(g)...)
	}
	if len(found) == 0 {
		return fine("%s", h.gatesStand())
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Compare(slices.Index(levels, b.Level), slices.Index(levels, a.Level))
	})
	worst := found[0]
	var facts, remedies []string
	for _, f := range found {
		facts = append(facts, f.Fact)
		if !slices.Contains(remedies, f.Remedy) {
			remedies = append(remedies, f.Remedy)
		}
	}
	if len(facts) > maxNamed {
		facts = append(facts[:maxNamed], fmt.Sprintf("%d more", len(found)-maxNamed))
	}
	worst.Fact, worst.Remedy = strings.Join(facts, "; "), strings.Join(remedies, "; ")
	return worst
}

func (h Health) gatesStand() string {
	waiting := 0
	for _, g := range h.Gates {
		waiting += g.Waiting
	}
	switch {
	case len(h.Gates) == 0:
		return "there are none"
	case waiting == 0:
		return "no call waits for its turn"
	}
	return fmt.Sprintf("calls that wait for their turn: %d", waiting)
}

func judgeGate(g GateState) (found []Finding) {
	name := fmt.Sprintf("gate %s of queue %s", g.Name, g.Queue)
	note := func(level Level, remedy, format string, args ...any) {
		found = append(found, level.of(remedy, "%s "+format, append([]any{name}, args...)...))
	}
	if g.Stalled > stalledLong {
		note(LevelWarning, "look again in a minute; then look into the workers' logs: their sweeps let calls in",
			"has room, and a call has waited for %s", roughly(g.Stalled))
	}
	switch {
	case g.Declared == nil && g.Waiting > 0:
		note(LevelWrong, "start a worker with a function of that gate, or cancel the calls", "was declared by no worker, and calls wait: %d", g.Waiting)
	case g.Undeclared && g.Waiting > 0:
		note(LevelWarning, "start a worker with a function of that gate, or cancel the calls",
			"is declared by no living worker, and calls wait: %d", g.Waiting)
	}
	if len(g.Differing) > 0 {
		var told []string
		for _, numbers := range g.Differing {
			told = append(told, GateState{Numbers: numbers}.limitsText())
		}
		note(LevelWarning, "roll out the same numbers to all workers: those of the worker that was started last count",
			"is declared differently by living workers: %s", strings.Join(told, ", and "))
	}
	if g.Closed != nil && *g.Closed > closedLong {
		note(LevelWarning, "find out why what its calls need is unavailable", "has key %q closed for %s", g.ClosedKey, roughly(*g.Closed))
	}
	return found
}

// limitsText is "each 5, rate 20/s": only the limits that there are.
func (g GateState) limitsText() string {
	var texts []string
	for _, limit := range g.Limited() {
		texts = append(texts, limit.Name+" "+limit.Value)
	}
	if len(texts) == 0 {
		return noLimit
	}
	return strings.Join(texts, ", ")
}
