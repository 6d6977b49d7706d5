package bench

import (
	"context"
	"iter"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/worker"
)

var many = scenario{
	name:  "many",
	about: "Many at once: SubmitMany, and CallMany with a worker, against a loop that submits one by one.",
	cases: func(Options) []trial {
		oneByOne := side{"Submit", submitOneByOne}
		return []trial{
			{"SubmitMany", []side{{refqSide, submitMany}, oneByOne}},
			{"CallMany", []side{{refqSide, callMany}, oneByOne}},
			{"CallMany, stored", []side{{refqSide, callManyStored}, oneByOne}},
		}
	},
}

// oneByOneMost is how many calls are submitted one by one, at most: each takes as long as any other.
const oneByOneMost = 1000

func submitOneByOne(ctx context.Context, g *ground) (reading, error) {
	c := g.newCaller(g.function("echo", g.queue))
	defer c.close()
	if err := warmUp(ctx, warm, c.submit); err != nil {
		return nil, err
	}
	n := min(g.options.Calls, oneByOneMost)
	used, err := g.measure(ctx, func() error {
		_, err := load(ctx, 1, n, c.submit)
		return err
	})
	return used.perCall(n), err
}

func submitMany(ctx context.Context, g *ground) (reading, error) {
	c := g.newCaller(g.function("echo", g.queue))
	defer c.close()
	if err := warmUp(ctx, warm, c.submit); err != nil {
		return nil, err
	}
	return g.atOnce(ctx, c.submitMany)
}

// callMany has a worker run all calls.
func callMany(ctx context.Context, g *ground) (r reading, err error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
	defer c.close()
	err = g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		if err := warmUp(ctx, warm, c.call); err != nil {
			return err
		}
		r, err = g.atOnce(ctx, c.callMany)
		return err
	})
	return r, err
}

// callManyStored asks for results that are there.
func callManyStored(ctx context.Context, g *ground) (reading, error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
	defer c.close()
	err := g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		return c.callMany(ctx, g.options.Calls)
	})
	if err != nil {
		return nil, err
	}
	return g.atOnce(ctx, c.callMany)
}

// atOnce measures a round of calls that are made together.
func (g *ground) atOnce(ctx context.Context, do func(context.Context, int) error) (reading, error) {
	n := g.options.Calls
	used, err := g.measure(ctx, func() error { return do(ctx, n) })
	return used.perCall(n), err
}

func (c *caller) parcels(n int) iter.Seq[parcel] {
	return func(yield func(parcel) bool) {
		for i := range n {
			if !yield(c.ground.parcel(i)) {
				return
			}
		}
	}
}

func (c *caller) submitMany(ctx context.Context, n int) error {
	for _, made := range producer.SubmitMany(ctx, c.producer, c.function, c.parcels(n)) {
		if made.Err != nil {
			return made.Err
		}
	}
	return nil
}

func (c *caller) callMany(ctx context.Context, n int) error {
	for i, res := range producer.CallMany(ctx, c.producer, c.function, c.parcels(n)) {
		if err := check(c.ground.parcel(i), res, res.Err); err != nil {
			return err
		}
	}
	return nil
}
