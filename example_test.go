package refq_test

import (
	"context"
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
	thumb, err := producer.Do(ctx, p, Thumb, ThumbIn{URL: "https://example.com/a.png"}) // as if Thumb ran here
	fmt.Println(thumb, err)
	res, err := producer.Call(ctx, p, Thumb, ThumbIn{URL: "https://example.com/b.png"}) // waits up to AsyncTimeout
	fmt.Println(res.Status, res.Value, err)

	end()
	fmt.Println(<-worked)
	// Output:
	// {128 96} <nil>
	// complete {128 96} <nil>
	// <nil>
}

// Many calls at a time: each answer comes when its call ends, with the position of its arguments.
func Example_many() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	redisURL, stop := exampleRedis()
	defer stop()
	ctx, end := context.WithCancel(context.Background())
	rdb, err := refq.Connect(redisURL)
	if err != nil {
		fmt.Println(err)
	}
	defer rdb.Close()
	worked := make(chan error, 1)
	go func() { worked <- runWorker(ctx, rdb) }()
	p := producer.New(rdb, producer.Config{Namespace: "shop"})
	defer p.Close()

	pages := []ThumbIn{{URL: "https://example.com/a.png"}, {URL: "https://example.com/b.png"}, {URL: "https://example.com/c.png"}}
	for i, res := range producer.CallMany(ctx, p, Thumb, slices.Values(pages)) {
		if res.Err != nil {
			fmt.Println(res.Err) // of this call alone
			continue
		}
		fmt.Println(pages[i].URL, res.Value)
	}

	end()
	fmt.Println(<-worked)
	// Unordered output:
	// https://example.com/a.png {128 96}
	// https://example.com/b.png {128 96}
	// https://example.com/c.png {128 96}
	// <nil>
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
