package worker

import (
	"context"
	"sync"
	"time"

	"github.com/refq/refq/internal/store"
)

// compareEvery is how often who sweeps compares the numbers of gates with what living workers declare.
const compareEvery = 5 * time.Second

// gates are those of a queue, as the worker looks after them. The goroutine that sweeps the queue calls sweep; who receives wake-ups
// and the timer call expect and letIn.
type gates struct {
	worker   *Worker
	queue    string
	compared time.Time // when sweep last compared

	mu      sync.Mutex
	timer   *time.Timer // lets in what time frees soon; nil: none is set
	at      time.Time   // when it does
	stopped bool
	runs    sync.WaitGroup // letIn by the timer
}

// sweep looks after the gates in a sweep of the queue.
func (g *gates) sweep(ctx context.Context) error {
	if now := time.Now(); now.Sub(g.compared) >= compareEvery {
		if err := g.compare(ctx); err != nil { // what else a sweep mends does not depend on it
			g.worker.log.Warn("numbers of gates are not compared", "queue", g.queue, "err", err)
		}
		g.compared = now
	}
	in, err := g.worker.store.SweepGates(ctx, g.queue)
	if err == nil {
		g.expect(in)
	}
	return err
}

// compare gives gates the numbers that living workers declare. Those of the worker that was started last count.
func (g *gates) compare(ctx context.Context) error {
	all, err := g.worker.declared.Counting(ctx, g.queue)
	if err != nil || len(all) == 0 {
		return err
	}
	return g.worker.store.DeclareGates(ctx, g.queue, all)
}

// expect has what time frees let in then. A negative time: it frees nothing. Sweeps see to what is later than the next few.
func (g *gates) expect(in time.Duration) {
	if in < 0 || in > store.TellDue {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at := time.Now().Add(in)
	if g.stopped || g.timer != nil && !at.Before(g.at) {
		return
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	g.at, g.timer = at, time.AfterFunc(in, g.letIn)
}

func (g *gates) letIn() {
	g.mu.Lock()
	g.timer = nil
	stopped := g.stopped
	if !stopped {
		g.runs.Add(1)
	}
	g.mu.Unlock()
	if stopped {
		return
	}
	defer g.runs.Done()
	ctx := g.worker.running.base
	in, err := g.worker.store.LetInDue(ctx, g.queue)
	if err != nil {
		g.worker.log.Debug("what is due is left to a sweep", "queue", g.queue, "err", err)
		return
	}
	g.expect(in)
}

// stop ends the timer. It returns when nothing is let in by it any more.
func (g *gates) stop() {
	g.mu.Lock()
	g.stopped = true
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	g.runs.Wait()
}
