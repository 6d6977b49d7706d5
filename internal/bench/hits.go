package bench

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/refq/refq/worker"
)

var hits = scenario{
	name:  "hits",
	about: "Hits: calls whose results are stored, against GETs of as many bytes through the same client.",
	cases: func(o Options) (all []trial) {
		for _, n := range o.Callers {
			all = append(all, trial{callers(n), []side{
				{refqSide, func(ctx context.Context, g *ground) (reading, error) { return refqHits(ctx, g, n) }},
				{"GET", func(ctx context.Context, g *ground) (reading, error) { return plainGets(ctx, g, n) }},
			}})
		}
		return all
	},
}

// stored is how many different results are asked for, at most.
const stored = 500

func refqHits(ctx context.Context, g *ground, callers int) (reading, error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
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

func plainGets(ctx context.Context, g *ground, callers int) (reading, error) {
	rdb := g.connect()
	key := func(n int) string { return fmt.Sprintf("refq:{%s}:get:%d", g.queue, n%stored) }
	for n := range stored {
		text, err := json.Marshal(g.parcel(n))
		if err != nil {
			return nil, err
		}
		if err := rdb.Set(ctx, key(n), text, 0).Err(); err != nil {
			return nil, err
		}
	}
	return g.loop(ctx, callers, func(ctx context.Context, n int) error {
		text, err := rdb.Get(ctx, key(n)).Bytes()
		if err != nil {
			return err
		}
		var p parcel
		return json.Unmarshal(text, &p)
	})
}
