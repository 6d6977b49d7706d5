package bench

import (
	"context"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/worker"
)

var answers = scenario{
	name:  "answers",
	about: "Hits with terms: calls that ask for the age of a result, or have a key, against plain hits.",
	cases: func(o Options) []trial {
		n := o.Callers[0]
		against := func(name string, run func(ctx context.Context, g *ground) (reading, error)) trial {
			return trial{name, []side{
				{refqSide, run},
				{"plain", func(ctx context.Context, g *ground) (reading, error) {
					return hitsOf(ctx, g, n, g.function("echo", g.queue))
				}},
			}}
		}
		return []trial{
			against("MaxAge", func(ctx context.Context, g *ground) (reading, error) {
				return hitsOf(ctx, g, n, g.function("echo", g.queue), producer.MaxAge(time.Hour))
			}),
			against("Fresh", func(ctx context.Context, g *ground) (reading, error) {
				f := g.function("echo", g.queue)
				f.Fresh = f.TTL - time.Second
				return hitsOf(ctx, g, n, f)
			}),
			against("KeyFields", func(ctx context.Context, g *ground) (reading, error) {
				f := g.function("echo", g.queue)
				f.KeyFields = []string{"/id"}
				return hitsOf(ctx, g, n, f)
			}),
		}
	},
}

// hitsOf measures calls of a function whose results are stored.
func hitsOf(ctx context.Context, g *ground, callers int, f function, options ...producer.CallOption) (reading, error) {
	c := g.newCaller(f)
	c.options = options
	defer c.close()
	different := min(stored, g.options.Calls)
	call := func(ctx context.Context, n int) error { return c.call(ctx, n%different) }
	err := g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		_, err := load(ctx, callsWhileFilling, different, call)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g.loop(ctx, callers, call)
}
