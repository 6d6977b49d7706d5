package ui

import (
	"fmt"
	"math"
	"time"

	"github.com/refq/refq/refcache"
)

// maxBars is how many retries a drawing shows.
const maxBars = 40

// backoff is how a function is retried, drawn and in words.
type backoff struct {
	Chart  chart
	GiveUp string  // when it is given up, in a sentence
	Rows   []delay // the first retries
	More   int     // retries that are not among Rows
	By     string  // the workers' function that is asked first; empty: none
}

// delay is the wait before a retry.
type delay struct {
	Retry int
	Wait  string
	Most  string // with all of the jitter; empty: there is none
	After string // since the first attempt failed, not counting what attempts take
}

func newBackoff(p refcache.Policy) backoff {
	b := backoff{GiveUp: giveUp(p), By: p.Backoff, More: max(0, p.MaxRetries-maxBars)}
	shown := p.MaxRetries - b.More
	if shown == 0 {
		return b
	}
	highest := p.Delay(shown-1, jitterEdge)
	b.Chart = chart{ID: "backoff", Title: "Delay before each retry", Top: duration(highest), Half: duration(highest / 2), Width: shown,
		Edges: []string{"retry 1", fmt.Sprintf("retry %d", shown)}}
	b.Chart.Total = fmt.Sprintf("from %s to %s", duration(p.Delay(0, 0)), duration(p.Delay(shown-1, 0)))
	if shown == 1 {
		b.Chart.Edges = []string{"retry 1"}
		b.Chart.Total = duration(p.Delay(0, 0))
	}
	if p.RetryJitter > 0 {
		b.Chart.Series = []series{{"made", "delay"}, {"hit", fmt.Sprintf("up to %s more at random", percent(p.RetryJitter))}}
	}
	var after time.Duration
	for n := range shown {
		least, most := p.Delay(n, 0), p.Delay(n, jitterEdge)
		after = plus(after, least)
		d := delay{Retry: n + 1, Wait: duration(least), After: duration(after)}
		if most > least {
			d.Most = duration(most)
		}
		b.Rows = append(b.Rows, d)
		bar := bar{X: n, Title: fmt.Sprintf("retry %d: after %s", n+1, duration(least))}
		bar.stack("made", float64(least), float64(highest))
		bar.stack("hit", float64(most-least), float64(highest))
		b.Chart.Bars = append(b.Chart.Bars, bar)
	}
	return b
}

// jitterEdge is the largest random number of [refcache.Policy.Delay].
var jitterEdge = math.Nextafter(1, 0)

// giveUp says when a call that always fails is given up.
func giveUp(p refcache.Policy) string {
	if p.MaxRetries == 0 {
		return "There is no retry: a call fails with its first attempt."
	}
	var least, most time.Duration
	for n := range p.MaxRetries {
		least, most = plus(least, p.Delay(n, 0)), plus(most, p.Delay(n, jitterEdge))
	}
	waiting := duration(least)
	if duration(most) != waiting {
		waiting += " to " + duration(most)
	}
	text := fmt.Sprintf("A call that always fails is given up after %s attempts and %s of waiting between them", count(int64(p.MaxRetries+1)), waiting)
	if p.Timeout == 0 {
		return text + "; attempts have no limit of time."
	}
	return text + fmt.Sprintf("; each attempt may take %s.", duration(p.Timeout))
}

// plus adds durations as far as they go.
func plus(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
