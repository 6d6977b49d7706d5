package bench

import (
	"context"

	"github.com/refq/refq/worker"
)

var twoQueues = scenario{
	name:  "two-queues",
	about: "Two queues: the closed loop in queue B beside an idle queue A on the same worker, and alone.",
	cases: func(o Options) []trial {
		return []trial{{"", []side{
			{"beside A", func(ctx context.Context, g *ground) (reading, error) { return busyBeside(ctx, g, "a-idle") }},
			{"alone", func(ctx context.Context, g *ground) (reading, error) { return busyBeside(ctx, g) }},
		}}}
	},
}

// busyBeside measures the closed loop in the ground's queue while the same worker serves others.
func busyBeside(ctx context.Context, g *ground, idle ...string) (r reading, err error) {
	busy := g.function("echo", g.queue)
	c := g.newCaller(busy)
	defer c.close()
	handle := func(w *worker.Worker) {
		worker.Handle(w, busy, echo)
		for _, name := range idle {
			worker.Handle(w, g.function(name, g.another(name)), echo)
		}
	}
	err = g.withWorker(ctx, handle, func(ctx context.Context) error {
		r, err = g.loop(ctx, g.options.Callers[0], c.call)
		return err
	})
	return r, err
}
