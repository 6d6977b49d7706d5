//go:build unix

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

func TestTwoOfAKeyAtOnceAreSeen(t *testing.T) {
	begin := time.Now()
	at := func(s int) int64 { return begin.Add(time.Duration(s) * time.Second).UnixMicro() }
	of := func(pid int, key, run string, from, till int) []line {
		return []line{{Kind: started, PID: pid, Key: key, Run: run, At: at(from)}, {Kind: returned, PID: pid, Key: key, Run: run, At: at(till)}}
	}
	kills := []kill{{pid: 1, at: begin.Add(3 * time.Second)}}
	dies := of(1, "a", "dies", 0, 0)[:1]
	for name, c := range map[string]struct {
		works    []line
		together int
		next     []time.Duration
		never    int
	}{
		"one after the other":     {append(dies, of(2, "a", "x", 9, 10)...), 0, []time.Duration{6 * time.Second}, 0},
		"beside one that is dead": {append(dies, of(2, "a", "x", 2, 10)...), 1, nil, 0},
		"of another key":          {append(dies, of(2, "b", "x", 2, 10)...), 0, nil, 1},
		"within a longer one":     {append(of(2, "a", "x", 0, 9), of(3, "a", "y", 1, 2)...), 1, nil, 0},
		"beside it, after it":     {append(append(of(2, "a", "x", 0, 9), of(3, "a", "y", 1, 2)...), of(3, "a", "z", 3, 4)...), 2, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			all := executionsOf(map[refcache.Ref]*book{"x": {works: c.works}}, kills)
			require.Equal(t, c.together, overlaps(all))
			if c.next != nil || c.never > 0 {
				times, never := nextStarts(all, kills)
				require.Equal(t, c.never, never)
				for i, want := range c.next {
					require.InDelta(t, want, times[i], float64(time.Millisecond))
				}
			}
		})
	}
}

func TestStartsAheadOfTheirRateAreSeen(t *testing.T) {
	begin := time.Now()
	for name, c := range map[string]struct {
		ms   []int
		most float64
	}{
		"none":             {nil, 0},
		"one":              {[]int{0}, 1},
		"on time":          {[]int{0, 100, 200, 300}, 1},
		"late":             {[]int{0, 500, 1000}, 1},
		"two at once":      {[]int{0, 100, 200, 200, 400}, 2},
		"not made good":    {[]int{0, 1000, 1050, 1100, 1150}, 2.5},
		"made good before": {[]int{0, 50, 200, 250, 400, 450}, 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			var times []time.Time
			for _, ms := range c.ms {
				times = append(times, begin.Add(time.Duration(ms)*time.Millisecond))
			}
			require.InDelta(t, c.most, maxAhead(times, 10), 0.001)
		})
	}
}
