package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// parcel is what goes to a worker and, from refq's, comes back. As JSON it has Options.Payload bytes.
type parcel struct {
	ID  string `json:"id"`
	Pad string `json:"pad"`
}

// bare is the size of a parcel without padding.
const bare = len(`{"id":"0000000000","pad":""}`)

// padding is text that compresses no better than people's does.
var padding = sync.OnceValue(func() string {
	var b strings.Builder
	for b.Len() < maxPayload {
		b.WriteString(rand.Text())
	}
	return b.String()
})

func (s *site) parcel(n int) parcel {
	return parcel{fmt.Sprintf("%010d", n), padding()[:s.options.Payload-bare]}
}

type function = refcache.Func[parcel, parcel]

// patience is how long a call may take before the run is given up.
const patience = time.Minute

func (g *ground) function(name, queue string) function {
	return function{Name: name, Queue: queue, AsyncTimeout: patience, TTL: time.Hour}
}

func echo(_ context.Context, in parcel) (parcel, error) { return in, nil }

// withWorker does something while a worker of refq runs.
func (g *ground) withWorker(ctx context.Context, handle func(*worker.Worker), do func(context.Context) error) error {
	w := worker.New(g.connect(), worker.Config{
		Concurrency: g.options.Concurrency, ShutdownTimeout: stoppingTime, Logger: silence,
	})
	handle(w)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stopped := make(chan error, 1)
	go func() {
		err := w.Run(ctx)
		stop(err)
		stopped <- err
	}()
	err := do(ctx)
	stop(nil)
	return errors.Join(err, <-stopped)
}

// stoppingTime is for a slow machine: a worker whose time is up leaves its asynq server's state in Redis, for a while.
const stoppingTime = 2 * time.Minute

// caller makes calls of one function.
type caller struct {
	ground   *ground
	producer *producer.Producer
	function function
	options  []producer.CallOption
}

func (g *ground) newCaller(f function) *caller {
	return &caller{g, producer.New(g.connect(), producer.Config{}), f, nil}
}

func (c *caller) close() { _ = c.producer.Close() } // nobody waits any more

// call makes the n-th call and waits for its result.
func (c *caller) call(ctx context.Context, n int) error {
	in := c.ground.parcel(n)
	res, err := producer.Call(ctx, c.producer, c.function, in, c.options...)
	return check(in, res, err)
}

// check says what is wrong with the answer of a call.
func check(in parcel, res refcache.Response[parcel], err error) error {
	switch {
	case err != nil:
		return err
	case !res.IsComplete:
		return fmt.Errorf("call %s has not ended within %v", res.RefID, patience)
	case res.Value != in:
		return fmt.Errorf("call %s: wrong result", res.RefID)
	}
	return nil
}

func (c *caller) submit(ctx context.Context, n int) error {
	_, err := producer.Submit(ctx, c.producer, c.function, c.ground.parcel(n))
	return err
}

// warm is how many callers warm up what is measured without a number of them.
const warm = 100

// warmUp makes the connections and loads the scripts, by calls before those that are measured, which begin at 0. As many callers
// as are measured make them: more would go on connecting meanwhile. Each makes two: the call after a hit needs a script of its
// own.
func warmUp(ctx context.Context, callers int, call func(context.Context, int) error) error {
	const apart = 1_000_000_000
	_, err := load(ctx, callers, 2*callers, func(ctx context.Context, n int) error { return call(ctx, apart+n) })
	return err
}

// load makes n calls, callers at a time, and returns how long each took. The first that fails ends it.
func load(ctx context.Context, callers, n int, call func(context.Context, int) error) ([]time.Duration, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	took := make([]time.Duration, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(callers, n) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				began := time.Now()
				if err := call(ctx, int(i)); err != nil {
					stop(err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	return took, context.Cause(ctx)
}
