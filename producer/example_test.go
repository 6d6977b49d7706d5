package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Square is declared once, for producers and workers.
var Square = refcache.Func[int, int]{Name: "square", TTL: time.Hour}

func square(_ context.Context, n int) (int, error) { return n * n, nil }

// Do stands for the function: it waits for the result.
func ExampleDo() {
	rdb, stop := exampleWorker(func(w *worker.Worker) { worker.Handle(w, Square, square) })
	defer stop()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := producer.Do(ctx, p, Square, 12)
	fmt.Println(n, err)
	// Output: 144 <nil>
}

// Cached makes a plain function of a declaration.
func ExampleCached() {
	rdb, stop := exampleWorker(func(w *worker.Worker) { worker.Handle(w, Square, square) })
	defer stop()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()

	cachedSquare := producer.Cached(p, Square)
	n, err := cachedSquare(context.Background(), 9)
	fmt.Println(n, err)
	// Output: 81 <nil>
}

// Call waits up to AsyncTimeout. What has not ended by then is waited for by its ref_id, here or on another host.
func ExampleCall() {
	slow := refcache.Func[int, int]{Name: "slow", AsyncTimeout: 10 * time.Millisecond}
	finish := make(chan bool)
	rdb, stop := exampleWorker(func(w *worker.Worker) {
		worker.Handle(w, slow, func(_ context.Context, n int) (int, error) { <-finish; return n + 1, nil })
	})
	defer stop()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	ctx := context.Background()

	res, err := producer.Call(ctx, p, slow, 1)
	fmt.Println(res.IsAsync, err)
	close(finish)
	res, err = producer.Wait(ctx, p, slow, res.RefID)
	fmt.Println(res.Status, res.Value, err)
	// Output:
	// true <nil>
	// complete 2 <nil>
}

// A call that fails is retried as its declaration says. The error tells how the last attempt failed, and of each before.
func ExampleDo_retries() {
	flaky := refcache.Func[string, string]{Name: "flaky", Retry: refcache.RetryPolicy{MaxRetries: 2, Delay: time.Millisecond}}
	rdb, stop := exampleWorker(func(w *worker.Worker) {
		worker.Handle(w, flaky, func(context.Context, string) (string, error) { return "", errors.New("service is down") })
	})
	defer stop()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()

	_, err := producer.Do(context.Background(), p, flaky, "hello")
	if failed, ok := errors.AsType[*refcache.TaskError](err); ok {
		fmt.Println(failed.Info.Status, "after", failed.Info.AttemptsTotal, "attempts:", failed.Info.Error)
	}
	// Output: failed after 3 attempts: service is down
}

// Whoever has the ref_id can call it off, such as a web handler whose user has left. The attempt's context ends.
func ExampleProducer_Cancel() {
	endless := refcache.Func[string, string]{Name: "endless"}
	running := make(chan bool)
	rdb, stop := exampleWorker(func(w *worker.Worker) {
		worker.Handle(w, endless, func(ctx context.Context, _ string) (string, error) {
			close(running)
			<-ctx.Done()
			return "", context.Cause(ctx)
		})
	})
	defer stop()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	ctx := context.Background()

	ref, err := producer.Submit(ctx, p, endless, "")
	<-running
	fmt.Println(err, p.Cancel(ctx, ref))
	res, err := producer.Wait(ctx, p, endless, ref)
	_, cancelled := errors.AsType[*refcache.TaskError](err)
	fmt.Println(res.Status, cancelled)
	// Output:
	// <nil> <nil>
	// cancelled true
}

// Many calls at a time: the answers come as the calls end, each with the position of its arguments.
func ExampleCallMany() {
	rdb, stop := exampleWorker(func(w *worker.Worker) { worker.Handle(w, Square, square) })
	defer stop()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()

	numbers := []int{3, 5, 7}
	for i, res := range producer.CallMany(context.Background(), p, Square, slices.Values(numbers)) {
		fmt.Println(numbers[i], res.Value, res.Err)
	}
	// Unordered output:
	// 3 9 <nil>
	// 5 25 <nil>
	// 7 49 <nil>
}

// The running function reports its progress; whoever has the ref_id reads it.
func ExampleGet_progress() {
	book := refcache.Func[string, int]{Name: "book"}
	reported, goOn := make(chan bool), make(chan bool)
	rdb, stop := exampleWorker(func(w *worker.Worker) {
		worker.Handle(w, book, func(ctx context.Context, _ string) (int, error) {
			worker.ReportProgress(ctx, 3, 10, "page 3")
			close(reported)
			<-goOn
			return 10, nil
		})
	})
	defer stop()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	ctx := context.Background()

	ref, err := producer.Submit(ctx, p, book, "Moby Dick")
	<-reported
	res, err := producer.Get(ctx, p, book, ref)
	for err == nil && res.Progress == nil { // reports are written in the background
		res, err = producer.Get(ctx, p, book, ref)
	}
	fmt.Println(res.Progress.Current, "of", res.Progress.Total, res.Message, err)
	close(goOn)
	res, err = producer.Wait(ctx, p, book, ref)
	fmt.Println(res.Value, err)
	// Output:
	// 3 of 10 page 3 <nil>
	// 10 <nil>
}

// exampleWorker runs a worker on a Redis in memory until stop is called.
func exampleWorker(register func(*worker.Worker)) (rdb redis.UniversalClient, stop func()) {
	server, err := memredis.New()
	if err != nil {
		panic(err)
	}
	rdb = server.Client()
	w := worker.New(rdb, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	register(w)
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return rdb, func() {
		end()
		if err := errors.Join(<-ended, rdb.Close()); err != nil {
			panic(err)
		}
		server.Close()
	}
}
