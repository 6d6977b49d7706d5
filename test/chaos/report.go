//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report is what a scenario has to show for itself.
type report struct {
	figures []figure
}

// figure is one thing shown, and whether it is as it must be.
type figure struct {
	text string
	ok   bool
}

// show adds a figure.
func (r *report) show(ok bool, format string, args ...any) {
	r.figures = append(r.figures, figure{fmt.Sprintf(format, args...), ok})
}

func (r report) ok() bool {
	return len(r.figures) > 0 && !slices.ContainsFunc(r.figures, func(f figure) bool { return !f.ok })
}

// showTimes adds the spread of some times, of which there must be any, and checks the 50th and 99th percentile.
func (r *report) showTimes(what string, times []time.Duration, most50, most99 time.Duration) {
	if len(times) == 0 {
		r.show(false, "%s: none seen", what)
		return
	}
	slices.Sort(times)
	p50, p99 := percentile(times, 50), percentile(times, 99)
	ok := p50 <= most50 && p99 <= most99
	if len(times) <= few {
		var all []string
		for _, t := range times {
			all = append(all, round(t).String())
		}
		r.show(ok, "%s: %s", what, strings.Join(all, ", "))
		return
	}
	r.show(ok, "%s (%d): p50 %s, p99 %s, most %s", what, len(times), round(p50), round(p99), round(times[len(times)-1]))
}

// few times are listed rather than summed up.
const few = 5

// percentile is the smallest of sorted times that p percent do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}
