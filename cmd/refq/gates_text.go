package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// gateLimits are some limits of a gate, such as "each 10 (declared 5, set by ann 14:02, for 1h)".
func gateLimits(g monitor.GateState, limits []monitor.GateLimit) []string {
	var texts []string
	for _, limit := range limits {
		text := limit.Name + " " + limit.Value
		if limit.Declared != "" && g.Set != nil {
			text += fmt.Sprintf(" (declared %s, %s)", limit.Declared, setText(*g.Set))
		}
		texts = append(texts, text)
	}
	return texts
}

func setText(s monitor.GateSet) string {
	text := "set by " + term.Printable(s.By) + " " + clockText(s.At)
	if s.Until != nil {
		text += ", for " + term.Exact(s.Until.Sub(s.At).Round(time.Second))
	}
	return text
}

// gateTroubles say why calls of a gate do not start that its limits let start.
func gateTroubles(g monitor.GateState) (all []string) {
	if g.Paused != nil {
		all = append(all, pauseText(*g.Paused))
	}
	if g.Undeclared {
		all = append(all, "no living worker declares it")
	}
	for _, numbers := range g.Differing {
		other := monitor.GateState{Numbers: numbers}
		limits := strings.Join(gateLimits(other, other.Limited()), ", ")
		all = append(all, "workers differ, one declares "+orNone(limits, limits == ""))
	}
	return all
}

// pauseText is the text of a pause, for where it is clear of what.
func pauseText(p refcache.Pause) string {
	return term.OneLine(strings.TrimPrefix(p.String(), p.Target()+" is "))
}

// clockText is a time of today, or with its day.
func clockText(t time.Time) string {
	t = t.Local()
	if t.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// agedText is how long the oldest of some has waited.
func agedText(n int, oldest time.Duration) string {
	if n == 0 {
		return "-"
	}
	return term.Short(oldest)
}
