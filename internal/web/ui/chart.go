package ui

import (
	"fmt"

	"github.com/refq/refq/monitor"
)

// chart is bars side by side, in a drawing that is Width wide and chartHeight high. The part "plot" draws it.
type chart struct {
	ID        string
	Title     string
	Total     string   // in words
	Series    []series // what there is to tell apart; fewer than two: nothing
	Top, Half string   // what the upper edge means, and the middle
	Edges     []string // what stands below the bars, from left to right
	Width     int      // bars that there is room for
	Bars      []bar    // those that are not empty
}

// chartHeight is how high drawings are, in units of their own.
const chartHeight = 100

type series struct{ Class, Name string }

// bar has parts that stand on top of each other.
type bar struct {
	X     int
	Title string
	Parts []part
}

// stack puts a part on top of a bar, which is as high as the drawing when all parts together come to top.
func (b *bar) stack(class string, value, top float64) {
	if value <= 0 {
		return
	}
	below := float64(chartHeight)
	if len(b.Parts) > 0 {
		below = b.Parts[len(b.Parts)-1].Y
	}
	height := value / top * chartHeight
	b.Parts = append(b.Parts, part{class, below - height, height})
}

type part struct {
	Class     string
	Y, Height float64
}

// charts show the minutes.
func charts(minutes []monitor.MinuteStats) []chart {
	var hour monitor.CallCounts
	for _, m := range minutes {
		hour.Add(m.CallCounts)
	}
	return []chart{
		newChart("made", "Calls per minute", count(hour.Made())+" in the last hour",
			[]series{{"made", "new"}, {"hit", "answered from the cache, or joined"}}, minutes,
			func(c monitor.CallCounts) []int64 { return []int64{c.Misses, c.Made() - c.Misses} }),
		newChart("failures", "Failures per minute", count(hour.Failed)+" in the last hour", []series{{"failed", "failed"}}, minutes,
			func(c monitor.CallCounts) []int64 { return []int64{c.Failed} }),
	}
}

func newChart(id, title, total string, all []series, minutes []monitor.MinuteStats, of func(monitor.CallCounts) []int64) chart {
	var most int64
	for _, m := range minutes {
		most = max(most, sum(of(m.CallCounts)))
	}
	top := niceTop(most)
	c := chart{ID: id, Title: title, Total: total, Series: all, Top: count(top), Half: count(top / 2), Width: len(minutes),
		Edges: []string{"1 hour ago", "30 minutes", "now"}}
	for i, m := range minutes {
		values := of(m.CallCounts)
		b := bar{X: i, Title: minuteTitle(len(minutes)-1-i, all, values)}
		for n, v := range values {
			b.stack(all[n].Class, float64(v), float64(top))
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
