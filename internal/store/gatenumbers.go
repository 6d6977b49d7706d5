package store

import (
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

// NumbersOf are the numbers of a gate whose defaults are filled in.
func NumbersOf(g refcache.Gate) GateNumbers {
	return GateNumbers{Each: g.Each, All: g.All, Interval: g.Rate.Interval(), Burst: g.Rate.Burst, MostWaiting: g.MostWaiting}
}

// gate is the gate of that name that has these numbers. Its rate may be told in another time than it was declared in.
func (n GateNumbers) gate(name string) refcache.Gate {
	g := refcache.Gate{Name: name, Each: n.Each, All: n.All, Rate: rateOf(n.Interval), MostWaiting: n.MostWaiting}
	if n.Interval > 0 {
		g.Rate.Burst = n.Burst
	}
	return g
}

// rateOf is a rate with that time between two starts, as people would write it.
func rateOf(interval time.Duration) refcache.Rate {
	if interval <= 0 {
		return refcache.Rate{}
	}
	for _, per := range []time.Duration{time.Second, time.Minute, time.Hour} {
		if r := (refcache.Rate{N: int(per / interval), Per: per}); r.Interval() == interval {
			return r
		}
		if r := (refcache.Rate{N: int(per/interval) + 1, Per: per}); r.Interval() == interval { // it was rounded up
			return r
		}
	}
	return refcache.Rate{N: 1, Per: interval}
}

// parseNumbers reads what pack wrote. What is no number is 0.
func parseNumbers(text string) GateNumbers {
	var all []any
	for _, word := range strings.Split(text, ",") {
		n, _ := strconv.ParseInt(word, 10, 64)
		all = append(all, n)
	}
	return numbersFrom(all)
}

// numbersFrom reads numbers in the order of pack.
func numbersFrom(told any) GateNumbers {
	values, _ := told.([]any)
	n := reply(values)
	return GateNumbers{int(n.int(0)), int(n.int(1)), time.Duration(n.int(2)) * time.Microsecond, int(n.int(3)), int(n.int(4))}
}
