package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var retries = scenario{
	name:  "retries",
	about: "Retries on time: latency is how long after it was due a retry began, with slots free.",
	cases: func(o Options) (all []trial) {
		for _, delay := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second, 3 * time.Second} {
			all = append(all, trial{"after " + delay.String(), []side{{refqSide,
				func(ctx context.Context, g *ground) (reading, error) { return refqRetries(ctx, g, delay) }}}})
		}
		return all
	},
}

var errOnPurpose = errors.New("the first attempt fails on purpose")

func refqRetries(ctx context.Context, g *ground, delay time.Duration) (r reading, err error) {
	f := g.function("flaky", g.queue)
	f.Retry = refcache.RetryPolicy{MaxRetries: 1, Delay: delay, Jitter: -1}
	c := g.newCaller(f)
	defer c.close()
	log := retryLog{delay: delay, due: map[string]time.Time{}}
	err = g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, log.attempt) }, func(ctx context.Context) error {
		n := slowly(g.options, min(50, g.options.Concurrency))
		_, err := load(ctx, n, n, func(ctx context.Context, i int) error {
			if err := pause(ctx, rand.N(time.Second)); err != nil { // so that they are due at any time of a second
				return err
			}
			return c.call(ctx, i)
		})
		return err
	})
	return log.reading(), err
}

// retryLog is written by the attempts.
type retryLog struct {
	delay time.Duration

	mu    sync.Mutex
	due   map[string]time.Time // by the end of the first attempt: refq's time is a little later, never earlier
	late  []time.Duration
	early int
}

func (l *retryLog) attempt(_ context.Context, in parcel) (parcel, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	due, again := l.due[in.ID]
	if !again {
		l.due[in.ID] = time.Now().Add(l.delay)
		return parcel{}, errOnPurpose
	}
	late := time.Since(due)
	if late < 0 {
		l.early++
	}
	l.late = append(l.late, late)
	return in, nil
}

func (l *retryLog) reading() reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	return reading{Early: float64(l.early)}.with(l.late)
}
