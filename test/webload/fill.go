package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// The calls of a fleet on a bad day: for each that waits, one that is done and two that failed.
var (
	waits = refcache.Func[int, int]{Name: "waits", Queue: "idle"}
	works = refcache.Func[int, int]{Name: "works", Queue: "busy"}
	fails = refcache.Func[int, int]{Name: "fails", Queue: "busy", Retry: refcache.RetryPolicy{MaxRetries: refcache.NoRetries}}
)

// made are some of the calls.
type made struct {
	waiting, failed []refcache.Ref
}

// fill makes n calls and has them end as they should.
func fill(ctx context.Context, rdb redis.UniversalClient, n int) (made, error) {
	start := time.Now()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	stop := work(rdb)
	defer stop()
	var m made
	var err error
	if m.waiting, err = submit(ctx, p, waits, n/4); err != nil {
		return m, err
	}
	if _, err = end(ctx, p, works, n/4); err != nil {
		return m, err
	}
	m.failed, err = end(ctx, p, fails, n-2*(n/4))
	fmt.Printf("%d calls made in %v\n", n, time.Since(start).Round(time.Second))
	return m, err
}

// work runs a worker until stop is called.
func work(rdb redis.UniversalClient) (stop func()) {
	w := worker.New(rdb, worker.Config{Concurrency: 64, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	worker.Handle(w, works, func(_ context.Context, n int) (int, error) { return n, nil })
	worker.Handle(w, fails, func(_ context.Context, n int) (int, error) {
		return 0, fmt.Errorf("connect to shard %d: connection refused", n%100)
	})
	worker.Handle(w, slow, func(ctx context.Context, n int) (int, error) { return n, step(ctx) })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return func() { cancel(); <-ended }
}

func numbers(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func submit(ctx context.Context, p *producer.Producer, f refcache.Func[int, int], n int) (refs []refcache.Ref, err error) {
	for _, s := range producer.SubmitMany(ctx, p, f, numbers(n)) {
		err = errors.Join(err, s.Err)
		refs = append(refs, s.Ref)
	}
	return refs, err
}

// end makes calls and waits for their ends.
func end(ctx context.Context, p *producer.Producer, f refcache.Func[int, int], n int) (refs []refcache.Ref, err error) {
	f.AsyncTimeout = 10 * time.Minute
	for _, res := range producer.CallMany(ctx, p, f, numbers(n)) {
		if _, failed := errors.AsType[*refcache.TaskError](res.Err); res.Err != nil && !failed {
			err = errors.Join(err, res.Err)
		}
		refs = append(refs, res.RefID)
	}
	return refs, err
}

// slow is what viewers watch: each call reports progress for as long as somebody does.
var slow = refcache.Func[int, int]{Name: "slow", Queue: "busy", Timeout: -1}

var watched atomic.Bool

func step(ctx context.Context) error {
	for n := int64(0); watched.Load(); n++ {
		worker.ReportProgress(ctx, n, 1000, "watched")
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
