package bench

import (
	"context"
	"encoding/json"
	"fmt"
)

var hits = scenario{
	name:  "hits",
	about: "Hits: calls whose results are stored, against GETs of as many bytes through the same client.",
	cases: func(o Options) (all []trial) {
		for _, n := range o.Callers {
			all = append(all, trial{callers(n), []side{
				{refqSide, func(ctx context.Context, g *ground) (reading, error) {
					return hitsOf(ctx, g, n, g.function("echo", g.queue))
				}},
				{"GET", func(ctx context.Context, g *ground) (reading, error) { return plainGets(ctx, g, n) }},
			}})
		}
		return all
	},
}

// stored is how many different results are asked for, at most.
const stored = 500

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
