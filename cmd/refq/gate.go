package main

import (
	"fmt"
	"strings"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

// gateText is "maps: each 5, all slots, rate 20/s, burst 20, most waiting 10000": limits that there are none of are not named.
func gateText(g refcache.Gate) string {
	var limits []string
	add := func(name string, n int) {
		if n > 0 {
			limits = append(limits, fmt.Sprintf("%s %d", name, n))
		}
	}
	add("each", g.Each)
	if add("all", g.All); g.All == refcache.Slots {
		limits = append(limits, "all slots")
	}
	if rate := config.RateText(g.Rate); rate != "" {
		limits = append(limits, "rate "+rate)
		add("burst", g.Rate.Burst)
	}
	add("most waiting", g.MostWaiting)
	if len(limits) == 0 {
		return g.Name + ": no limits"
	}
	return g.Name + ": " + strings.Join(limits, ", ")
}

// turnText is "key /host, share /tenant, ahead 30s".
func turnText(f refcache.TurnFields) string {
	var words []string
	if len(f.Key) > 0 {
		words = append(words, "key "+strings.Join(f.Key, " "))
	}
	if len(f.Share) > 0 {
		words = append(words, "share "+strings.Join(f.Share, " "))
	}
	if f.Ahead > 0 {
		words = append(words, "ahead "+term.Exact(f.Ahead))
	}
	if len(words) == 0 {
		return "one key for all calls"
	}
	return term.Printable(strings.Join(words, ", "))
}

// gateJSON tells a gate with its defaults. Where there is no limit, it is null.
type gateJSON struct {
	Name        string  `json:"name"`
	Each        *int    `json:"each"`
	All         any     `json:"all"` // a number, or "slots"
	Rate        *string `json:"rate"`
	Burst       *int    `json:"burst"`
	MostWaiting *int    `json:"most_waiting"`
}

// newGateJSON is nil for none.
func newGateJSON(g refcache.Gate) *gateJSON {
	if g.Name == "" {
		return nil
	}
	told := gateJSON{Name: g.Name, Each: unlessZero(g.Each), Rate: unlessZero(config.RateText(g.Rate)), Burst: unlessZero(g.Rate.Burst),
		MostWaiting: unlessZero(g.MostWaiting)}
	switch {
	case g.All == refcache.Slots:
		told.All = "slots"
	case g.All > 0:
		told.All = g.All
	}
	return &told
}

// turnJSON tells what makes the turn of a call. Where nothing does, it is null.
type turnJSON struct {
	Key   []string `json:"key"`
	Share []string `json:"share"`
	Ahead float64  `json:"ahead_seconds"`
}

// newTurnJSON is nil without a gate.
func newTurnJSON(f config.Func) *turnJSON {
	if f.Gate.Name == "" {
		return nil
	}
	return &turnJSON{f.TurnFields.Key, f.TurnFields.Share, f.TurnFields.Ahead.Seconds()}
}
