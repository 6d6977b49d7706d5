package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

const (
	watchAfter = 300 * time.Millisecond // most calls are over by then
	watchEvery = 250 * time.Millisecond
)

// watch shows on a terminal how a task gets on, until ctx ends or the function that it returns is called; that leaves
// only the failed attempts on the screen, and what holds the task up. It answers how the task was last seen, nil if it was
// not. It does nothing where stderr is no terminal.
func (a *app) watch(ctx context.Context, p *producer.Producer, ref refcache.Ref) (end func() *response) {
	if !a.stderr.Terminal {
		return func() *response { return nil }
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	w := watcher{producer: p, ref: ref, screen: a.stderr}
	go func() {
		defer close(done)
		select {
		case <-time.After(watchAfter):
			w.run(ctx)
		case <-ctx.Done():
		}
	}()
	return func() *response {
		stop()
		<-done
		return w.shown.Load()
	}
}

const barWidth = 24

// watcher draws the bar of one task.
type watcher struct {
	producer *producer.Producer
	ref      refcache.Ref
	screen   *term.Screen

	shown    atomic.Pointer[response] // nil: Redis does not answer
	reported int                      // failed attempts that were printed
	heldUp   string                   // what was printed of why nobody runs the call
}

func (w *watcher) run(ctx context.Context) {
	since := time.Now()
	bars := mpb.New(mpb.WithOutput(w.screen.To), mpb.WithRefreshRate(100*time.Millisecond))
	status := decor.Any(func(decor.Statistics) string { return w.status() })
	detail := decor.Any(func(s decor.Statistics) string {
		return term.Cut(w.detail()+", "+term.Exact(time.Since(since).Truncate(time.Second)), s.AvailableWidth-barWidth-2)
	})
	bar := bars.New(0, mpb.BarStyle(), mpb.BarWidth(barWidth), mpb.BarFillerTrim(), mpb.BarFillerMiddleware(w.onlyIfKnown),
		mpb.PrependDecorators(decor.Meta(status, w.inStatusColour)), mpb.AppendDecorators(detail))
	defer bars.Wait()
	defer bar.Abort(true)

	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.look(ctx, bar, bars)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads the task, and prints above the bar what failed since.
func (w *watcher) look(ctx context.Context, bar *mpb.Bar, above io.Writer) {
	res, err := w.producer.Get(ctx, w.ref)
	if err != nil {
		w.shown.Store(nil)
		return
	}
	w.shown.Store(&res)
	if res.Progress != nil {
		bar.SetTotal(res.Progress.Total, false)
		bar.SetCurrent(res.Progress.Current)
	}
	if isHeldUp(&res) && res.Message != w.heldUp {
		w.heldUp = res.Message
		fmt.Fprintln(above, w.screen.Paint(term.Yellow, term.Printable(res.Message)))
	}
	if res.RetryCount+res.LostCount == w.reported {
		return
	}
	w.reported = res.RetryCount + res.LostCount
	info, err := w.producer.Info(ctx, w.ref)
	if err != nil || len(info.RetryHistory) == 0 {
		return
	}
	last := info.RetryHistory[len(info.RetryHistory)-1]
	line := term.Cut(fmt.Sprintf("attempt %d failed: %s", last.Attempt, firstLine(last.Error)), w.screen.Width()-1)
	fmt.Fprintln(above, w.screen.Paint(term.Yellow, line))
}

// isHeldUp is whether the message says why nobody runs the call.
func isHeldUp(r *response) bool { return r.Unserved != "" || r.Paused != nil }

// status stands before the bar.
func (w *watcher) status() string {
	if r := w.shown.Load(); r != nil {
		return string(r.Status) + " "
	}
	return "Redis does not answer"
}

func (w *watcher) inStatusColour(text string) string {
	if r := w.shown.Load(); r != nil {
		return w.screen.Paint(term.StatusColours[r.Status], text)
	}
	return w.screen.Paint(term.Red, text)
}

// detail stands behind the bar.
func (w *watcher) detail() string {
	r := w.shown.Load()
	switch {
	case r == nil:
		return ""
	case r.Status == refcache.Processing && r.Progress != nil && r.ETA != nil:
		return " " + progressText(*r.Progress) + ", about " + term.Short(*r.ETA) + " left"
	case r.Status == refcache.Processing && r.Progress != nil:
		return " " + progressText(*r.Progress)
	case r.Status == refcache.Retrying && r.NextRetryAt != nil:
		return fmt.Sprintf("retry %d of %d %s", r.RetryCount, r.MaxRetries, term.Ahead(*r.NextRetryAt))
	}
	return term.Printable(r.Message)
}

// onlyIfKnown draws the bar itself only when it is known how much there is to do.
func (w *watcher) onlyIfKnown(bar mpb.BarFiller) mpb.BarFiller {
	return mpb.BarFillerFunc(func(to io.Writer, s decor.Statistics) error {
		r := w.shown.Load()
		if r == nil || r.Progress == nil || r.Progress.Total == 0 || r.Status != refcache.Processing {
			return nil
		}
		return bar.Fill(to, s)
	})
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return term.Printable(strings.TrimSpace(line))
}
