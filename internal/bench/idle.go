package bench

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/refq/refq/worker"
)

var idle = scenario{
	name:  "idle",
	about: "Idle latency: one call at a time, with pauses, so that workers are idle: call to result.",
	cases: func(o Options) []trial {
		t := trial{"", []side{{refqSide, refqIdle}}}
		return []trial{t.besides(o, asynqIdle)}
	},
}

// slowly is how many calls are made one at a time: they take long, each.
func slowly(o Options, most int) int { return min(max(3, o.Calls/100), most) }

func refqIdle(ctx context.Context, g *ground) (r reading, err error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
	defer c.close()
	err = g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		r, err = g.oneByOne(ctx, slowly(g.options, 50), c.call)
		return err
	})
	return r, err
}

func asynqIdle(ctx context.Context, g *ground) (r reading, err error) {
	b := g.newBareAsynq()
	err = b.withServer(ctx, func(ctx context.Context) error {
		r, err = g.oneByOne(ctx, slowly(g.options, 10), b.call) // it sleeps for a second when it finds nothing
		return err
	})
	return r, err
}

func (g *ground) oneByOne(ctx context.Context, n int, call func(context.Context, int) error) (reading, error) {
	if err := warmUp(ctx, warm, call); err != nil {
		return nil, err
	}
	took := make([]time.Duration, n)
	for i := range took {
		if err := pause(ctx, 20*time.Millisecond+rand.N(100*time.Millisecond)); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := call(ctx, i); err != nil {
			return nil, err
		}
		took[i] = time.Since(began)
	}
	return reading{}.with(took), nil
}
