package bench

import (
	"context"

	"github.com/refq/refq/worker"
)

var mixed = scenario{
	name:  "mixed",
	about: "Mixed workers: two workers of a queue, each of which knows another function, and two that know both.",
	cases: func(o Options) []trial {
		sides := func(measure func(context.Context, *ground, func(context.Context, int) error) (reading, error)) []side {
			return []side{
				{"know one each", func(ctx context.Context, g *ground) (reading, error) { return mixedWorkers(ctx, g, true, measure) }},
				{"know both", func(ctx context.Context, g *ground) (reading, error) { return mixedWorkers(ctx, g, false, measure) }},
			}
		}
		loop := func(ctx context.Context, g *ground, call func(context.Context, int) error) (reading, error) {
			return g.loop(ctx, o.Callers[0], call)
		}
		idle := func(ctx context.Context, g *ground, call func(context.Context, int) error) (reading, error) {
			return g.oneByOne(ctx, slowly(o, 50), call)
		}
		return []trial{{callers(o.Callers[0]), sides(loop)}, {"one at a time", sides(idle)}}
	},
}

// mixedWorkers measures calls of two functions, which two workers of one queue share or divide.
func mixedWorkers(ctx context.Context, g *ground, divided bool,
	measure func(context.Context, *ground, func(context.Context, int) error) (reading, error)) (r reading, err error) {
	a, b := g.function("echo-a", g.queue), g.function("echo-b", g.queue)
	callA, callB := g.newCaller(a), g.newCaller(b)
	defer callA.close()
	defer callB.close()
	handles := func(functions ...function) func(*worker.Worker) {
		return func(w *worker.Worker) {
			for _, f := range functions {
				worker.Handle(w, f, echo)
			}
		}
	}
	first, second := handles(a, b), handles(a, b)
	if divided {
		first, second = handles(a), handles(b)
	}
	err = g.withWorker(ctx, first, func(ctx context.Context) error {
		return g.withWorker(ctx, second, func(ctx context.Context) error {
			r, err = measure(ctx, g, func(ctx context.Context, n int) error {
				if n%2 == 0 {
					return callA.call(ctx, n)
				}
				return callB.call(ctx, n)
			})
			return err
		})
	})
	return r, err
}
