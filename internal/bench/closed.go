package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/refq/refq/worker"
)

var closed = scenario{
	name:  "closed",
	about: "Closed loop: callers wait for each result before they make the next call.",
	cases: func(o Options) (all []trial) {
		for _, n := range o.Callers {
			t := trial{callers(n), []side{{refqSide, func(ctx context.Context, g *ground) (reading, error) {
				return refqClosed(ctx, g, n)
			}}}}
			all = append(all, t.besides(o, func(ctx context.Context, g *ground) (reading, error) {
				return asynqClosed(ctx, g, n)
			}))
		}
		return all
	},
}

// callers names a case.
func callers(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

func refqClosed(ctx context.Context, g *ground, callers int) (r reading, err error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
	defer c.close()
	err = g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		r, err = g.loop(ctx, callers, c.call)
		return err
	})
	return r, err
}

func asynqClosed(ctx context.Context, g *ground, callers int) (r reading, err error) {
	b := g.newBareAsynq()
	err = b.withServer(ctx, func(ctx context.Context) error {
		r, err = g.loop(ctx, callers, b.call)
		return err
	})
	return r, err
}

// loop measures a round of calls, some at a time.
func (g *ground) loop(ctx context.Context, callers int, call func(context.Context, int) error) (reading, error) {
	if err := warmUp(ctx, callers, call); err != nil {
		return nil, err
	}
	n := g.options.Calls
	var took []time.Duration
	used, err := g.measure(ctx, func() (err error) {
		took, err = load(ctx, callers, n, call)
		return err
	})
	if err != nil {
		return nil, err
	}
	return used.perCall(n).with(took), nil
}
