package worker

import (
	"context"
	"sync"
	"time"

	"github.com/refq/refq/refcache"
)

const (
	progressEvery   = 100 * time.Millisecond
	progressTimeout = 2 * time.Second
	maxMessage      = 1 << 10
)

// progress writes the reports of one attempt, at most one each progressEvery. It starts nothing before the first.
type progress struct {
	write func(refcache.Progress)

	mu     sync.Mutex
	latest *refcache.Progress // not yet written
	stop   chan struct{}      // closed by flush; made by the first report
	done   chan struct{}      // closed when the writer has ended
	over   bool
}

func (p *progress) report(r refcache.Progress) {
	r.Message = clip(r.Message, maxMessage)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.latest = &r
	if p.stop == nil {
		p.stop, p.done = make(chan struct{}), make(chan struct{})
		go p.writeAll()
	}
}

// writeAll writes reports until flush.
func (p *progress) writeAll() {
	defer close(p.done)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		p.writeLatest()
		select {
		case <-tick.C:
		case <-p.stop:
			p.writeLatest()
			return
		}
	}
}

func (p *progress) writeLatest() {
	p.mu.Lock()
	latest := p.latest
	p.latest = nil
	p.mu.Unlock()
	if latest != nil {
		p.write(*latest)
	}
}

// flush writes the last report and takes no more.
func (p *progress) flush() {
	p.mu.Lock()
	p.over = true
	stop, done := p.stop, p.done
	p.mu.Unlock()
	if stop != nil {
		close(stop)
		<-done
	}
}

// writeProgress keeps a report. One that cannot be written is dropped: the next one says more.
func (a *attempt) writeProgress(report refcache.Progress) {
	ctx, cancel := context.WithTimeout(a.worker.running.base, progressTimeout)
	defer cancel()
	current, err := a.worker.store.Progress(ctx, a.ref, a.token, report)
	if err == nil && !current {
		a.cancel(ErrVoid)
	}
}
