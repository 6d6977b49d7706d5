package bench

import (
	"context"
	"fmt"

	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var gates = scenario{
	name:  "gates",
	about: "Gates: calls that pass a gate, wait in line for it, or run beside such, and calls without one.",
	cases: func(o Options) []trial {
		n := o.Callers[0]
		loop := func(name string, g refcache.Gate, turn func(parcel) refcache.Turn) side {
			return side{name, func(ctx context.Context, ground *ground) (reading, error) {
				return gatedClosed(ctx, ground, n, g, turn)
			}}
		}
		one := func(parcel) refcache.Turn { return refcache.Turn{} }
		own := func(p parcel) refcache.Turn { return refcache.Turn{Key: p.ID} }
		plain := loop("no gate", refcache.Gate{}, nil)
		return []trial{
			{callers(n) + ", all pass", []side{loop("each of its own key", refcache.Gate{Name: "g", Each: 1}, own), plain}},
			{callers(n) + ", in turn", []side{loop("all: slots", refcache.Gate{Name: "g", All: refcache.Slots}, one), plain}},
			{callers(n) + ", half wait", []side{loop("half at a time", refcache.Gate{Name: "g", Each: max(1, n/2)}, one), plain}},
			{callers(n) + ", others wait", []side{
				{thousands(o.Pending) + " wait", func(ctx context.Context, g *ground) (reading, error) { return besideWaiting(ctx, g, n, o.Pending) }},
				{"none waits", func(ctx context.Context, g *ground) (reading, error) { return refqClosed(ctx, g, n) }},
			}},
		}
	},
}

// besideWaiting is refqClosed while calls of another function of the queue wait in a gate without room: no worker declares it.
func besideWaiting(ctx context.Context, g *ground, callers, waiting int) (reading, error) {
	f := g.function("waits", g.queue)
	f.Gate = refcache.Gate{Name: "g", Each: 1}
	f.Turn = func(p parcel) refcache.Turn { return refcache.Turn{Key: p.ID[len(p.ID)-3:]} }
	c := g.newCaller(f)
	defer c.close()
	if err := c.submitMany(ctx, waiting); err != nil {
		return nil, fmt.Errorf("fill the line: %w", err)
	}
	return refqClosed(ctx, g, callers)
}

// gatedClosed is refqClosed for a function with a gate.
func gatedClosed(ctx context.Context, g *ground, callers int, gate refcache.Gate, turn func(parcel) refcache.Turn) (r reading, err error) {
	f := g.function("echo", g.queue)
	f.Gate, f.Turn = gate, turn
	c := g.newCaller(f)
	defer c.close()
	err = g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		r, err = g.loop(ctx, callers, c.call)
		return err
	})
	return r, err
}
