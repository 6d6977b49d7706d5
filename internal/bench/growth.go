package bench

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var growth = scenario{
	name:  "growth",
	about: "Growth: the closed loop among stored results and others' pending calls, against an empty Redis.",
	cases: func(o Options) []trial {
		n := o.Callers[0]
		return []trial{{thousands(o.Stored) + "+" + thousands(o.Pending), []side{
			{"full", func(ctx context.Context, g *ground) (reading, error) {
				if err := fill(ctx, g); err != nil {
					return nil, fmt.Errorf("fill: %w", err)
				}
				return refqClosed(ctx, g, n)
			}},
			{"empty", func(ctx context.Context, g *ground) (reading, error) { return refqClosed(ctx, g, n) }},
		}}}
	},
}

func thousands(n int) string {
	if n >= 1000 && n%1000 == 0 {
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}

// callsWhileFilling is how many calls are made at once when nobody looks at the clock.
const callsWhileFilling = 64

// fill puts results and pending calls where the calls to come find them in their way: results in the same queue, pending
// calls in a queue that no worker serves.
func fill(ctx context.Context, g *ground) error {
	results := g.newCaller(g.function("stored", g.queue))
	defer results.close()
	if err := results.fillResults(ctx, g.options.Stored); err != nil {
		return err
	}
	waiting := g.newCaller(g.function("pending", g.another("pending")))
	defer waiting.close()
	_, err := load(ctx, callsWhileFilling, g.options.Pending, waiting.submit)
	return err
}

// indexed is how many completions a queue's index holds, at most. These are made by calls, the others copied.
const indexed = 10_000

func (c *caller) fillResults(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	g := c.ground
	err := g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, c.function, echo) }, func(ctx context.Context) error {
		_, err := load(ctx, callsWhileFilling, min(n, indexed), c.call)
		return err
	})
	if err != nil {
		return err
	}
	ref, err := producer.Submit(ctx, c.producer, c.function, g.parcel(0)) // it is complete: this only names it
	if err != nil {
		return err
	}
	return g.copies(ctx, ref, n-min(n, indexed))
}

// copies makes copies of a record under refs that nobody asks for.
func (g *ground) copies(ctx context.Context, ref refcache.Ref, n int) error {
	key, err := g.keyOf(ctx, ref)
	if err != nil {
		return err
	}
	stem := strings.TrimSuffix(key, ref.Hash())
	const batch = 1000
	for from := 0; from < n; from += batch {
		_, err := g.observer.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := from; i < min(n, from+batch); i++ {
				p.Copy(ctx, key, fmt.Sprintf("%s%032x", stem, i), g.target.db(), false)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keyOf finds the key of a record.
func (g *ground) keyOf(ctx context.Context, ref refcache.Ref) (string, error) {
	found := ""
	err := g.onNodes(ctx, func(ctx context.Context, node *redis.Client) error {
		keys := node.Scan(ctx, 0, "refq:{"+g.queue+"}:*"+ref.Hash(), scanned).Iterator()
		if keys.Next(ctx) {
			found = keys.Val()
		}
		return keys.Err()
	})
	if err == nil && found == "" {
		err = fmt.Errorf("no record of %s", ref)
	}
	return found, err
}
