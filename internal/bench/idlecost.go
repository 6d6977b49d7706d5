package bench

import (
	"context"

	"github.com/refq/refq/worker"
)

var idleCost = scenario{
	name:  "idle-cost",
	about: "Idle cost: what a worker process with one queue sends while it has nothing to do.",
	cases: func(o Options) []trial {
		t := trial{"", []side{{refqSide, refqIdleCost}}}
		return []trial{t.besides(o, asynqIdleCost)}
	},
}

func refqIdleCost(ctx context.Context, g *ground) (r reading, err error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
	defer c.close()
	err = g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		r, err = g.watch(ctx, c.call)
		return err
	})
	return r, err
}

func asynqIdleCost(ctx context.Context, g *ground) (r reading, err error) {
	b := g.newBareAsynq()
	err = b.withServer(ctx, func(ctx context.Context) error {
		r, err = g.watch(ctx, b.call)
		return err
	})
	return r, err
}

// watch measures while nothing is asked for.
func (g *ground) watch(ctx context.Context, call func(context.Context, int) error) (reading, error) {
	if err := warmUp(ctx, warm, call); err != nil {
		return nil, err
	}
	used, err := g.measure(ctx, func() error { return pause(ctx, g.options.Watch) })
	return used.perSecond(), err
}
