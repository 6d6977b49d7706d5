package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/refq/refq/worker"
)

var open = scenario{
	name:  "open",
	about: "Open loop: all calls are submitted (latency: of each Submit), then a worker drains them.",
	cases: func(o Options) []trial {
		submit := trial{"submit", []side{{refqSide, refqSubmit}}}
		drain := trial{"drain", []side{{refqSide, refqDrain}}}
		return []trial{submit.besides(o, asynqSubmit), drain.besides(o, asynqDrain)}
	},
}

func refqSubmit(ctx context.Context, g *ground) (reading, error) {
	c := g.newCaller(g.function("echo", g.queue))
	defer c.close()
	return g.loop(ctx, g.options.Callers[0], c.submit)
}

func asynqSubmit(ctx context.Context, g *ground) (reading, error) {
	return g.loop(ctx, g.options.Callers[0], g.newBareAsynq().submit)
}

func refqDrain(ctx context.Context, g *ground) (reading, error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
	defer c.close()
	all := newCountdown(g.options.Calls)
	return g.drain(ctx, all, c.submit, func(ctx context.Context, do func(context.Context) error) error {
		return g.withWorker(ctx, func(w *worker.Worker) {
			worker.Handle(w, f, func(_ context.Context, in parcel) (parcel, error) {
				all.add()
				return in, nil
			})
		}, do)
	})
}

func asynqDrain(ctx context.Context, g *ground) (reading, error) {
	b := g.newBareAsynq()
	all := newCountdown(g.options.Calls)
	b.handled = all.add
	return g.drain(ctx, all, b.submit, b.withServer)
}

// drain measures how fast a worker, from its start on, works off what was submitted before.
func (g *ground) drain(ctx context.Context, all *countdown, submit func(context.Context, int) error,
	while func(context.Context, func(context.Context) error) error) (reading, error) {
	n := g.options.Calls
	if _, err := load(ctx, g.options.Callers[0], n, submit); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	var worker sync.WaitGroup
	var failed error
	used, err := g.measure(ctx, func() error {
		worker.Go(func() {
			failed = while(ctx, func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
			stop(failed)
		})
		return all.wait(ctx)
	})
	stop(nil)
	worker.Wait()
	return used.perCall(n), errors.Join(err, failed)
}

// countdown waits until so many have been counted.
type countdown struct {
	left atomic.Int64
	done chan struct{}
	end  sync.Once
}

func newCountdown(n int) *countdown {
	t := &countdown{done: make(chan struct{})}
	t.left.Store(int64(n))
	return t
}

func (t *countdown) add() {
	if t.left.Add(-1) <= 0 {
		t.end.Do(func() { close(t.done) })
	}
}

func (t *countdown) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
