package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/refq/refq/internal/term"
)

// bulkBar shows how many calls are done; nil shows nothing.
type bulkBar struct {
	bars    *mpb.Progress
	bar     *mpb.Bar
	total   func() int
	refused atomic.Int64
}

// startBulkBar draws the bar if stderr is a terminal: doing stands before it, refused is the word for what did not work,
// total tells how many there are, as far as that is known. What is printed meanwhile goes through out: if stdout is a
// terminal, too, it must stand above the bar.
func (a *app) startBulkBar(doing, refused string, total func() int) (out *app, bar *bulkBar) {
	if !a.stderr.Terminal {
		return a, nil
	}
	b := &bulkBar{bars: mpb.New(mpb.WithOutput(a.stderr.To), mpb.WithRefreshRate(100*time.Millisecond)), total: total}
	since := time.Now()
	b.bar = b.bars.New(0, mpb.BarStyle(), mpb.BarWidth(barWidth), mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name(doing+" ")),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			text := fmt.Sprintf(" %s of %s", term.Number(int(s.Current)), term.Number(total()))
			if n := b.refused.Load(); n > 0 {
				text += fmt.Sprintf(", %s %s", term.Number(int(n)), refused)
			}
			return text + ", " + term.Exact(time.Since(since).Truncate(time.Second))
		})))
	if !a.stdout.Terminal {
		return a, b
	}
	above := *a
	above.stdout = &term.Screen{To: b.bars, Terminal: true, Colour: a.stdout.Colour}
	return &above, b
}

// shows says how many calls are done, and how many of them did not work.
func (b *bulkBar) shows(done, refused int) {
	if b == nil {
		return
	}
	b.refused.Store(int64(refused))
	b.bar.SetTotal(int64(b.total()), false)
	b.bar.SetCurrent(int64(done))
}

// end takes the bar away.
func (b *bulkBar) end() {
	if b == nil {
		return
	}
	b.bar.Abort(true)
	b.bars.Wait()
}
