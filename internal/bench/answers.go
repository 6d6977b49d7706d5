package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/worker"
)

var answers = scenario{
	name:  "answers",
	about: "Hits with terms, against plain hits; invalidations of what is stored, against those of nothing.",
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
			against("three tags", func(ctx context.Context, g *ground) (reading, error) {
				f := g.function("echo", g.queue)
				f.Tags = threeTags
				return hitsOf(ctx, g, n, f)
			}),
			{"invalidate " + thousands(o.Stored), []side{
				{"full", func(ctx context.Context, g *ground) (reading, error) { return invalidations(ctx, g, o.Stored) }},
				{"empty", func(ctx context.Context, g *ground) (reading, error) { return invalidations(ctx, g, 0) }},
			}},
		}
	},
}

func threeTags(in parcel) []string { return []string{"id:" + in.ID, "kind:parcel", "all"} }

// invalidations measures one after the other, of a function of which so many results are stored.
func invalidations(ctx context.Context, g *ground, stored int) (reading, error) {
	f := g.function("stored", g.queue)
	f.Tags = threeTags
	c := g.newCaller(f)
	defer c.close()
	if err := c.fillResults(ctx, max(1, stored)); err != nil { // the queue must be there
		return nil, err
	}
	return g.loop(ctx, 1, func(ctx context.Context, n int) error {
		return c.producer.Invalidate(ctx, producer.Tag(fmt.Sprintf("id:%d", n)))
	})
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
