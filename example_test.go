package refq_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

type (
	ThumbIn  struct{ URL string }
	ThumbOut struct{ Width, Height int }
)

func makeThumb(context.Context, ThumbIn) (ThumbOut, error) {
	return ThumbOut{128, 96}, nil
}

// Both sides: what is called, and the rules for it.
var Thumb = refcache.Func[ThumbIn, ThumbOut]{
	Name:         "thumb",
	Queue:        "media",
	Retry:        refcache.RetryPolicy{MaxRetries: 3, Delay: time.Second, BackoffFactor: 2},
	Timeout:      30 * time.Second, // of one attempt
	AsyncTimeout: 5 * time.Second,  // how long Call waits
	TTL:          24 * time.Hour,   // of the result
}

// A worker process; run as many as you like.
func runWorker(ctx context.Context, rdb redis.UniversalClient) (err error) {
	w := worker.New(rdb, worker.Config{Concurrency: 20})
	worker.Handle(w, Thumb, func(ctx context.Context, in ThumbIn) (ThumbOut, error) {
		worker.ReportProgress(ctx, 3, 10, "page 3")
		return makeThumb(ctx, in)
	})
	err = w.Run(ctx) // until ctx ends; hands back what it cannot finish
	return err
}

// This is the program of README.md, on a Redis in memory.
func Example() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	redisURL, stop := exampleRedis()
	defer stop()
	ctx, end := context.WithCancel(context.Background())

	// Both sides: Redis.
	rdb, err := refq.Connect(redisURL)
	if err != nil {
		fmt.Println(err)
	}
	defer rdb.Close()
	worked := make(chan error, 1)
	go func() { worked <- runWorker(ctx, rdb) }()

	// A producer.
	p := producer.New(rdb, producer.Config{Namespace: "shop"})
	defer p.Close()
	thumb, err := producer.Do(ctx, p, Thumb, ThumbIn{URL: "https://example.com/a.png"})
	fmt.Println(thumb, err)

	end()
	fmt.Println(<-worked)
	// Output:
	// {128 96} <nil>
	// <nil>
}

// Call waits for as long as the function's AsyncTimeout says, here not at all. The ref_id finds the call again.
func Example_callAndWait() {
	thumb := Thumb
	thumb.AsyncTimeout = -1
	released := make(chan struct{})
	onMemory(func(w *worker.Worker) {
		worker.Handle(w, thumb, func(ctx context.Context, in ThumbIn) (ThumbOut, error) {
			<-released
			return makeThumb(ctx, in)
		})
	}, func(ctx context.Context, p *producer.Producer) {
		res, err := producer.Call(ctx, p, thumb, ThumbIn{URL: "https://example.com/a.png"})
		fmt.Println("in flight:", res.IsAsync, err)

		close(released)
		res, err = producer.Wait(ctx, p, thumb, res.RefID)
		fmt.Println(res.Status, res.Value, err)
	})
	// Output:
	// in flight: true <nil>
	// complete {128 96} <nil>
}

// A failed attempt is retried after a delay that grows. worker.Permanent ends that at once.
func Example_retries() {
	thumb := Thumb
	thumb.Retry = refcache.RetryPolicy{MaxRetries: 3, Delay: 10 * time.Millisecond, BackoffFactor: 2}
	onMemory(func(w *worker.Worker) {
		worker.Handle(w, thumb, func(ctx context.Context, in ThumbIn) (ThumbOut, error) {
			if in.URL == "" {
				return ThumbOut{}, worker.Permanent(errors.New("no URL"))
			}
			if attempt, _ := worker.Current(ctx); attempt.Attempt <= 2 {
				return ThumbOut{}, errors.New("the site is busy")
			}
			return makeThumb(ctx, in)
		})
	}, func(ctx context.Context, p *producer.Producer) {
		res, err := producer.Call(ctx, p, thumb, ThumbIn{URL: "https://example.com/a.png"})
		fmt.Println(res.Value, "after", res.RetryCount, "retries,", err)

		_, err = producer.Do(ctx, p, thumb, ThumbIn{})
		if failed, ok := errors.AsType[*refcache.TaskError](err); ok {
			fmt.Println(failed.Info.Status, "after", failed.Info.RetryCount, "retries:", failed.Info.Error)
		}
	})
	// Output:
	// {128 96} after 2 retries, <nil>
	// failed after 0 retries: no URL
}

// A running function reports how far it is, and whoever has the ref_id reads that.
func Example_progress() {
	released := make(chan struct{})
	onMemory(func(w *worker.Worker) {
		worker.Handle(w, Thumb, func(ctx context.Context, in ThumbIn) (ThumbOut, error) {
			worker.ReportProgress(ctx, 3, 10, "page 3")
			<-released
			return makeThumb(ctx, in)
		})
	}, func(ctx context.Context, p *producer.Producer) {
		ref, err := producer.Submit(ctx, p, Thumb, ThumbIn{URL: "https://example.com/a.png"})
		for err == nil {
			res, failed := producer.Get(ctx, p, Thumb, ref)
			if err = failed; res.Progress != nil {
				fmt.Println(res.Progress.Message, "of", res.Progress.Total)
				break
			}
			time.Sleep(10 * time.Millisecond) // a page would ask once a second
		}
		close(released)
		res, err := producer.Wait(ctx, p, Thumb, ref)
		fmt.Println(res.Status, err)
	})
	// Output:
	// page 3 of 10
	// complete <nil>
}

// A cancelled call has ended at once. Its function is told by its context, and what it returns is dropped.
func Example_cancel() {
	started, told := make(chan struct{}), make(chan error, 1)
	onMemory(func(w *worker.Worker) {
		worker.Handle(w, Thumb, func(ctx context.Context, _ ThumbIn) (ThumbOut, error) {
			close(started)
			<-ctx.Done()
			told <- context.Cause(ctx)
			return ThumbOut{}, nil
		})
	}, func(ctx context.Context, p *producer.Producer) {
		ref, err := producer.Submit(ctx, p, Thumb, ThumbIn{URL: "https://example.com/a.png"})
		fmt.Println("submitted,", err)
		<-started
		fmt.Println("cancelled,", p.Cancel(ctx, ref))
		fmt.Println(errors.Is(<-told, worker.ErrVoid))
		res, _ := producer.Get(ctx, p, Thumb, ref)
		fmt.Println(res.Status)
	})
	// Output:
	// submitted, <nil>
	// cancelled, <nil>
	// true
	// cancelled
}

// Many calls at a time: each answer comes when its call ends, with the position of its arguments.
func Example_many() {
	pages := []ThumbIn{{URL: "https://example.com/a.png"}, {URL: "https://example.com/b.png"}, {URL: "https://example.com/c.png"}}
	onMemory(func(w *worker.Worker) {
		worker.Handle(w, Thumb, makeThumb)
	}, func(ctx context.Context, p *producer.Producer) {
		for i, res := range producer.CallMany(ctx, p, Thumb, slices.Values(pages)) {
			if res.Err != nil {
				fmt.Println(res.Err) // of this call alone
				continue
			}
			fmt.Println(pages[i].URL, res.Value)
		}
	})
	// Unordered output:
	// https://example.com/a.png {128 96}
	// https://example.com/b.png {128 96}
	// https://example.com/c.png {128 96}
}

// onMemory runs an example with a worker and a producer on a Redis in memory.
func onMemory(register func(*worker.Worker), run func(context.Context, *producer.Producer)) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	redisURL, stop := exampleRedis()
	defer stop()
	rdb, err := refq.Connect(redisURL)
	if err != nil {
		panic(err)
	}
	defer rdb.Close()
	ctx, end := context.WithCancel(context.Background())
	w := worker.New(rdb, worker.Config{})
	register(w)
	worked := make(chan error, 1)
	go func() { worked <- w.Run(ctx) }()
	p := producer.New(rdb, producer.Config{Namespace: "shop"})
	defer p.Close()

	run(ctx, p)

	end()
	if err := <-worked; err != nil {
		panic(err)
	}
}

func exampleRedis() (url string, stop func()) {
	server, err := memredis.Listen("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return "redis://" + server.Addr(), server.Close
}

func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, block)
	known := map[string]bool{}
	for line := range strings.Lines(string(example)) {
		known[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines(string(block[1])) {
		line = strings.ReplaceAll(strings.TrimSpace(line), `"redis://127.0.0.1:6379/0"`, "redisURL")
		require.True(t, known[line], "README.md has a line that the example has not: %s", line)
	}
}
