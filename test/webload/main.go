// Command webload measures the pages of refq web over many calls, and with many viewers: make web-load. It needs a Redis of
// its own in REFQ_REDIS (see withredis), fills it, builds and starts refq web, and fails when a page takes too long, a
// viewer costs a subscription, or memory does not stay where it was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
)

// load is what the pages are put under.
type load struct {
	tasks, asks, viewers int
	watch                time.Duration
}

// maxPage is how long 19 of 20 pages may take at most.
const maxPage = 300 * time.Millisecond

func main() {
	var l load
	flag.IntVar(&l.tasks, "tasks", 100_000, "calls in Redis")
	flag.IntVar(&l.asks, "asks", 200, "requests for each page")
	flag.IntVar(&l.viewers, "viewers", 200, "browsers that follow a page")
	flag.DurationVar(&l.watch, "watch", 30*time.Second, "for how long they do")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := l.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "webload:", err)
		os.Exit(1)
	}
}

func (l load) run(ctx context.Context) error {
	url := os.Getenv("REFQ_REDIS")
	if url == "" {
		return errors.New("REFQ_REDIS names no Redis: start it with go run ./test/withredis")
	}
	rdb, err := refq.Connect(url)
	if err != nil {
		return err
	}
	defer rdb.Close()
	calls, err := fill(ctx, rdb, l.tasks)
	if err != nil {
		return fmt.Errorf("fill Redis: %w", err)
	}
	s, err := serve(ctx, url)
	if err != nil {
		return fmt.Errorf("start refq web: %w", err)
	}
	defer s.stop()
	return errors.Join(s.ask(ctx, calls, l.asks), l.follow(ctx, rdb, s))
}

// subscriptions counts the connections of refq web that are subscribed to something.
func subscriptions(ctx context.Context, rdb redis.UniversalClient) (int, error) {
	list, err := rdb.Do(ctx, "CLIENT", "LIST", "TYPE", "PUBSUB").Text()
	return strings.Count(list, " name="+clientName+" "), err
}
