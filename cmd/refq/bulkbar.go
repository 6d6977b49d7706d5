package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bulkBar shows how many calls are done; nil shows nothing.
type bulkBar struct {
	bars    *mpb.Progress
	bar     *mpb.Bar
	refused atomic.Int64
}

// startBulkBar draws the bar if stderr is a terminal. What is printed meanwhile goes through out: if stdout is a
// terminal, too, it must stand above the bar.
func (a *app) startBulkBar(total int) (out *app, bar *bulkBar) {
	if !a.stderr.terminal {
		return a, nil
	}
	b := &bulkBar{bars: mpb.New(mpb.WithOutput(a.stderr.to), mpb.WithRefreshRate(100*time.Millisecond))}
	since := time.Now()
	b.bar = b.bars.New(0, mpb.BarStyle(), mpb.BarWidth(barWidth), mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name("retrying ")),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			text := fmt.Sprintf(" %s of %s", number(int(s.Current)), number(total))
			if n := b.refused.Load(); n > 0 {
				text += fmt.Sprintf(", %s not retried", number(int(n)))
			}
			return text + ", " + exact(time.Since(since).Truncate(time.Second))
		})))
	b.bar.SetTotal(int64(total), false)
	if !a.stdout.terminal {
		return a, b
	}
	above := *a
	above.stdout = &screen{to: b.bars, terminal: true, colour: a.stdout.colour}
	return &above, b
}

func (b *bulkBar) shows(t tally) {
	if b == nil {
		return
	}
	b.refused.Store(int64(t.refused()))
	b.bar.SetCurrent(int64(t.accepted + t.refused()))
}

// end takes the bar away.
func (b *bulkBar) end() {
	if b == nil {
		return
	}
	b.bar.Abort(true)
	b.bars.Wait()
}
