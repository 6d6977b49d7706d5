package demo

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

// meter shows how far a call is.
type meter interface {
	show(p refcache.Progress, eta *time.Duration)
	complete()
	close() // leaves what was shown last on the screen
}

func (s story) meter() meter {
	if s.Terminal {
		return newBarMeter(s)
	}
	return &lineMeter{story: s}
}

// lineMeter prints a line for each tenth.
type lineMeter struct {
	story
	tenth int
}

func (m *lineMeter) show(p refcache.Progress, eta *time.Duration) {
	if tenth := int(*p.Percentage) / 10; tenth > m.tenth {
		m.tenth = tenth
		m.answer("%s", meterText(p, eta))
	}
}

func (m *lineMeter) complete() { m.answer("%s", completeText) }

func (m *lineMeter) close() {}

// barMeter draws a bar that grows.
type barMeter struct {
	bars *mpb.Progress
	bar  *mpb.Bar
	text atomic.Value // beside the bar
}

const (
	barLine   = 78 // columns, text and all
	textWidth = 28
)

func newBarMeter(s story) *barMeter {
	m := &barMeter{bars: mpb.New(mpb.WithOutput(s.To), mpb.ForceTTY(), mpb.WithAutoRefresh(), mpb.WithWidth(barLine),
		mpb.WithRefreshRate(100*time.Millisecond))}
	m.text.Store("")
	style := mpb.BarStyle().FillerMeta(func(full string) string { return s.Paint(term.Green, full) })
	text := decor.Any(func(decor.Statistics) string { return m.text.Load().(string) }, decor.WC{W: textWidth, C: decor.DindentRight})
	m.bar = m.bars.New(0, style, mpb.PrependDecorators(decor.Name(" ")), mpb.AppendDecorators(text))
	return m
}

func (m *barMeter) show(p refcache.Progress, eta *time.Duration) {
	m.text.Store(meterText(p, eta))
	m.bar.SetTotal(p.Total, false)
	m.bar.SetCurrent(p.Current)
}

func (m *barMeter) complete() {
	m.text.Store(completeText)
	m.bar.SetTotal(-1, true) // full, however far the last look saw it
}

func (m *barMeter) close() {
	m.bar.Abort(false)
	m.bars.Wait()
}

var completeText = fmt.Sprintf("100 %%  %s", refcache.Complete)

func meterText(p refcache.Progress, eta *time.Duration) string {
	text := fmt.Sprintf("%3.0f %%  %-7s", *p.Percentage, p.Message)
	if eta != nil {
		text += fmt.Sprintf("  ETA %.1f s", eta.Seconds())
	}
	return text
}
