package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/netproxy"
)

// site is a Redis as one run uses it. Whatever the run writes there is in queues whose names begin with its own.
type site struct {
	options  Options
	name     string
	version  string                // of Redis
	target   target                // for clients that are measured
	proxy    *netproxy.Proxy       // nil: there is no delay
	observer redis.UniversalClient // reads figures and removes what was made; not delayed
	asked    wire                  // what the observer sends
	grounds  int
}

// openSite connects to a Redis that may be measured.
func openSite(ctx context.Context, url string, o Options) (*site, error) {
	t, err := targetAt(url)
	if err != nil {
		return nil, err
	}
	s := &site{options: o, name: "bench-" + strings.ToLower(rand.Text()[:10]), target: t}
	s.observer = t.connect(&s.asked)
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *site) prepare(ctx context.Context) error {
	if err := s.mayMeasure(ctx); err != nil {
		return err
	}
	about, err := section(ctx, s.observer, "server")
	if err != nil {
		return err
	}
	s.version = about["redis_version"]
	return s.delay()
}

// ErrNotEmpty is that of a Redis which others use.
var ErrNotEmpty = errors.New("this Redis holds other data")

// mayMeasure keeps a benchmark off other people's Redis: it would slow them, and they would spoil its figures.
func (s *site) mayMeasure(ctx context.Context) error {
	if s.options.Anyway {
		return nil
	}
	n, err := s.observer.DBSize(ctx).Result()
	if err != nil {
		return fmt.Errorf("count the keys: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("%w (DBSIZE is %d)", ErrNotEmpty, n)
	}
	return nil
}

// delay puts a slow network between the measured clients and Redis.
func (s *site) delay() error {
	if s.options.Delay == 0 {
		return nil
	}
	server := s.target.server
	if server == nil || server.Network != "tcp" || server.TLSConfig != nil || server.Addr == "FailoverClient" {
		return errors.New("a delay needs a Redis behind a plain host:port")
	}
	proxy, err := netproxy.Listen(server.Addr)
	if err != nil {
		return err
	}
	proxy.SetDelay(s.options.Delay)
	delayed := *server
	delayed.Addr = proxy.Addr()
	s.proxy, s.target.server = proxy, &delayed
	return nil
}

func (s *site) close() error {
	if s.proxy != nil {
		s.proxy.Close()
	}
	return s.observer.Close()
}

// ground is what one round of one side stands on: a queue of its own and clients whose traffic is counted.
type ground struct {
	*site
	queue   string
	wire    wire
	clients []redis.UniversalClient
	queues  []string // all that were used
}

func (s *site) newGround() *ground {
	s.grounds++
	queue := fmt.Sprintf("%s-%d", s.name, s.grounds)
	return &ground{site: s, queue: queue, queues: []string{queue}}
}

// connect returns a client as refq.Connect makes it. Callers and workers have one each, as in processes of their own.
func (g *ground) connect() redis.UniversalClient {
	rdb := g.target.connect(&g.wire)
	g.clients = append(g.clients, rdb)
	return rdb
}

// another is a second queue of the ground.
func (g *ground) another(name string) string {
	queue := g.queue + "-" + name
	g.queues = append(g.queues, queue)
	return queue
}

// cleaningTime is for a million keys on a slow machine.
const cleaningTime = 2 * time.Minute

// close removes what was written, also after ctx has ended.
func (g *ground) close(ctx context.Context) error {
	var errs []error
	for _, rdb := range g.clients {
		errs = append(errs, rdb.Close())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaningTime)
	defer cancel()
	if err := g.forget(ctx); err != nil {
		errs = append(errs, fmt.Errorf("remove what the benchmark wrote (keys with {%s): %w", g.queue, err))
	}
	return errors.Join(errs...)
}

// forget removes the keys of the ground's queues, refq's and asynq's, some at a time: asynq itself deletes a queue by one script,
// which is long for 200,000 tasks.
func (g *ground) forget(ctx context.Context) error {
	for _, pattern := range []string{"refq:{" + g.queue + "*", "asynq:{" + g.queue + "*"} {
		if err := g.onNodes(ctx, func(ctx context.Context, node *redis.Client) error { return unlinkAll(ctx, node, pattern) }); err != nil {
			return err
		}
	}
	for _, queues := range []string{"refq:queues", "asynq:queues"} {
		if err := g.observer.SRem(ctx, queues, anys(g.queues)...).Err(); err != nil {
			return err
		}
	}
	return nil
}

const scanned = 1000

// unlinkAll removes the keys of a node that have a pattern. They are named one by one: those of several queues may be in several
// slots.
func unlinkAll(ctx context.Context, node *redis.Client, pattern string) error {
	keys := node.Scan(ctx, 0, pattern, scanned).Iterator()
	batch := node.Pipeline()
	for keys.Next(ctx) {
		batch.Unlink(ctx, keys.Val())
		if batch.Len() < scanned {
			continue
		}
		if _, err := batch.Exec(ctx); err != nil {
			return err
		}
	}
	if err := keys.Err(); err != nil || batch.Len() == 0 {
		return err
	}
	_, err := batch.Exec(ctx)
	return err
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}

// settleMost is how long settle waits. A doorbell that was lost on its way, which a machine that stands still may cause, is
// asynq's to give up after minutes.
const settleMost = 5 * time.Second

// settle waits until every doorbell that was taken is answered, or lost.
func (g *ground) settle(ctx context.Context) error {
	for enough := time.Now().Add(settleMost); time.Now().Before(enough); {
		active, err := g.observer.LLen(ctx, "asynq:{"+g.queue+"}:active").Result()
		if err != nil || active == 0 {
			return err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d. If ctx ends first, the error is the reason.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
