package ui

import (
	"fmt"

	"github.com/refq/refq/refcache"
)

// chart is bars over the last hour, a bar a minute, in a drawing that is len(Bars) wide and chartHeight high.
type chart struct {
	ID     string
	Title  string
	Total  string // in words
	Series []series
	Top    int64 // what the upper edge means
	Half   int64
	Width  int
	Bars   []bar
}

// chartHeight is how high drawings are, in units of their own.
const chartHeight = 100

type series struct{ Class, Name string }

// bar is a minute: its parts stand on top of each other.
type bar struct {
	X     int
	Title string
	Parts []part
}

type part struct {
	Class     string
	Y, Height float64
}

// charts show the minutes.
func charts(minutes []refcache.MinuteStats) []chart {
	var hour refcache.CallCounts
	for _, m := range minutes {
		hour.Add(m.CallCounts)
	}
	return []chart{
		newChart("made", "Calls per minute", count(hour.Made())+" in the last hour",
			[]series{{"made", "new"}, {"hit", "answered from the cache, or joined"}}, minutes,
			func(c refcache.CallCounts) []int64 { return []int64{c.New, c.Joined + c.Hits} }),
		newChart("failures", "Failures per minute", count(hour.Failed)+" in the last hour", []series{{"failed", "failed"}}, minutes,
			func(c refcache.CallCounts) []int64 { return []int64{c.Failed} }),
	}
}

func newChart(id, title, total string, all []series, minutes []refcache.MinuteStats, of func(refcache.CallCounts) []int64) chart {
	c := chart{ID: id, Title: title, Total: total, Series: all, Width: len(minutes)}
	var most int64
	for _, m := range minutes {
		most = max(most, sum(of(m.CallCounts)))
	}
	c.Top = niceTop(most)
	c.Half = c.Top / 2
	for i, m := range minutes {
		values := of(m.CallCounts)
		b := bar{X: i, Title: minuteTitle(len(minutes)-1-i, all, values)}
		below := 0.0
		for n, v := range values {
			if height := float64(v) / float64(c.Top) * chartHeight; v > 0 {
				below += height
				b.Parts = append(b.Parts, part{all[n].Class, chartHeight - below, height})
			}
		}
		if len(b.Parts) > 0 {
			c.Bars = append(c.Bars, b)
		}
	}
	return c
}

func minuteTitle(ago int, all []series, values []int64) string {
	text := plural(ago, "minute ago", "minutes ago")
	if ago == 0 {
		text = "this minute"
	}
	for i, v := range values {
		text += fmt.Sprintf("\n%s %s", count(v), all[i].Name)
	}
	return text
}

// niceTop is the least of 2, 4, 10, 20, 40, 100 … that is at least n: half of it is a round number, too.
func niceTop(n int64) int64 {
	for scale := int64(1); ; scale *= 10 {
		for _, top := range []int64{2, 4, 10} {
			if top*scale >= n {
				return top * scale
			}
		}
	}
}

func sum(values []int64) (n int64) {
	for _, v := range values {
		n += v
	}
	return n
}
