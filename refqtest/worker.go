package refqtest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/worker"
)

// Start runs a worker until the test ends and returns a producer for it. register handles the functions that the test
// needs. What the worker logs goes to the test's output.
//
//	p := refqtest.Start(t, func(w *worker.Worker) { worker.Handle(w, Thumb, makeThumb) })
//	res, err := producer.Call(t.Context(), p, Thumb, in)
//
// In a testing/synctest bubble minutes of backoff take milliseconds.
func Start(t testing.TB, register func(w *worker.Worker)) *producer.Producer {
	t.Helper()
	rdb := NewRedis(t)
	w := worker.New(rdb, worker.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	register(w)

	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context())) // t's own context ends before the cleanups run
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	p := producer.New(rdb, producer.Config{})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close the producer: %v", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("run the worker: %v", err)
		}
	})
	return p
}
