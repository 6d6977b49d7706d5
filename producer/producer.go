// Package producer makes cached calls: it submits them, waits for their results, reads what is known of them, and
// retries, cancels and deletes them by hand.
package producer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/refcache"
)

// Config sets up a Producer. The zero value works.
type Config struct {
	// Namespace keeps calls of several applications apart: it is part of a call's identity. Default "default"; a bad name is refused by every call.
	Namespace string
	// MaxArgs is the largest argument in bytes of JSON, both as it is given and in its canonical form. Default 1 MiB; negative: none
	// is small enough.
	MaxArgs int
	// By is who the events of a task name for what this producer does. Default user@host.
	By string
	// Traces gets a span for each call that is submitted, and has the spans of its attempts below it. Nil: none, at no cost.
	Traces trace.TracerProvider
	// LocalCache keeps results in this process's memory. Default: none are kept.
	LocalCache LocalCache
}

const defaultMaxArgs = 1 << 20

// Producer makes calls. Create one with New and Close it; it is safe for concurrent use, one per process is enough.
type Producer struct {
	cfg Config
	*parts
}

// parts are what a Producer works with.
type parts struct {
	store  *store.Store
	bell   *queue.Bell
	inbox  *inbox
	tally  *counters.Tally
	local  *localCache // nil: none
	tracer tracing.Tracer

	mu     sync.Mutex
	queues map[string]bool // noted in Redis by this process
}

// New returns a Producer that uses rdb, which the caller closes after the Producer. It does not talk to Redis yet.
func New(rdb redis.UniversalClient, c Config) *Producer {
	c.Namespace = cmp.Or(c.Namespace, refcache.DefaultNamespace)
	c.MaxArgs = cmp.Or(c.MaxArgs, defaultMaxArgs)
	if c.By == "" {
		c.By = userAtHost()
	}
	scripts := script.New(rdb)
	s := store.New(scripts)
	return &Producer{c, &parts{store: s, bell: queue.New(scripts, s), inbox: newInbox(rdb, s, rand.Text()), tally: counters.New(s),
		local: newLocalCache(rdb, c.LocalCache), tracer: tracing.New(c.Traces), queues: map[string]bool{}}}
}

// As returns a Producer for who acts in the name of others, such as a server for its users: events of tasks name by for
// what it does. It shares everything else with p, and ends with it: Close p alone.
func (p *Producer) As(by string) *Producer {
	cfg := p.cfg
	cfg.By = by
	return &Producer{cfg, p.parts}
}

// Close ends the subscriptions. Calls that still wait go on by polling, and no result is kept in memory any more. What was
// counted since the last 2 s is added to the statistics in Redis, which takes up to a second if Redis does not answer.
func (p *Producer) Close() error {
	p.tally.Close()
	return errors.Join(p.inbox.close(), p.local.close())
}

func userAtHost() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

// noteQueue makes the queue known to those who list tasks.
func (p *Producer) noteQueue(ctx context.Context, queue string) error {
	p.mu.Lock()
	known := p.queues[queue]
	p.mu.Unlock()
	if known {
		return nil
	}
	if err := p.store.AddQueue(ctx, queue); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queues[queue] = true
	return nil
}

// ring makes sure that a worker will look at the task.
func (p *Producer) ring(ctx context.Context, r store.Record) error {
	if err := p.bell.Ring(ctx, r, queue.AtOnce); err != nil {
		return fmt.Errorf("%w: %w", refcache.ErrNotQueued, err)
	}
	return nil
}
