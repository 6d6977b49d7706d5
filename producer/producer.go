// Package producer makes cached calls, waits for their results, and reads what is known of them.
//
//	p := producer.New(rdb, producer.Config{Namespace: "shop"})
//	defer p.Close()
//	thumb, err := producer.Do(ctx, p, Thumb, in)       // waits for the result, as if Thumb ran here
//	res, err := producer.Call(ctx, p, Thumb, in)       // waits up to Thumb.AsyncTimeout: done, or res.IsAsync
//	ref, err := producer.Submit(ctx, p, Thumb, in)     // does not wait
//	res, err = producer.Get(ctx, p, Thumb, ref)        // how it stands now
//	res, err = producer.Wait(ctx, p, Thumb, ref)       // when it has ended
//	err = p.Cancel(ctx, ref)                           // Retry and Delete alike
//	for i, res := range producer.CallMany(ctx, p, Thumb, ins) { … }
//
// Do and Cached stand for the function, and answer its result. All else answers a [refcache.Response]. A function takes
// the declaration; the method of the same name takes only the ref_id, and answers JSON. The same call, made again
// anywhere, runs nothing: it joins the one in flight or reads its result.
package producer

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/refq/refq/internal/change"
	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/refcache"
)

// Config sets up a Producer. The zero value works.
type Config struct {
	// Namespace keeps calls of several applications apart: it is part of a call's identity. Default "default"; a bad
	// name is refused by every call.
	Namespace string
	// MaxArgs is the largest argument in bytes of JSON, both as it is given and in its canonical form. Default
	// [DefaultMaxArgs]; negative: none is small enough.
	MaxArgs int
	// Traces gets a span for each call that is submitted, and has the spans of its attempts below it. Nil: none, at
	// no cost.
	Traces trace.TracerProvider
	// LocalCache keeps results in this process's memory. Default: none are kept.
	LocalCache LocalCache
}

// DefaultMaxArgs is the default of [Config].MaxArgs: 1 MiB.
const DefaultMaxArgs = 1 << 20

// Producer makes calls. Make one with New and end it with Close. It is safe for concurrent use; one per process is
// enough.
type Producer struct {
	cfg      Config
	store    *store.Store
	queue    *queue.Client
	inbox    *inbox
	counters *counters.Counters
	local    *localCache // nil: no results are kept
	tracer   tracing.Tracer
	change   change.Changer
	noter    *noter
}

// New returns a Producer that uses rdb, which the caller closes after the Producer. It does not talk to Redis yet. It
// panics if rdb is nil.
func New(rdb redis.UniversalClient, c Config) *Producer {
	if rdb == nil {
		panic("producer.New: the Redis client is nil")
	}
	c.Namespace = cmp.Or(c.Namespace, refcache.DefaultNamespace)
	c.MaxArgs = cmp.Or(c.MaxArgs, DefaultMaxArgs)
	rdb = script.New(rdb)
	s := store.New(rdb)
	p := &Producer{cfg: c, store: s, queue: queue.New(rdb, s), inbox: newInbox(rdb, s, rand.Text()), counters: counters.New(s),
		local: newLocalCache(rdb, c.LocalCache), tracer: tracing.New(c.Traces)}
	p.noter = newNoter(rdb, s, p.queue)
	p.change = change.Changer{Namespace: c.Namespace, Store: s, Queue: p.queue, Counters: p.counters, By: change.UserAtHost(), Declared: declared.NewReader(s)}
	return p
}

// Close ends the subscriptions. Calls that still wait go on by polling, and no result is kept in memory any more.
// What was counted since the last 2 s is added to the statistics in Redis, which takes up to a second if Redis does
// not answer, and so does listing queues that are not listed yet.
func (p *Producer) Close() error {
	if err := p.checkMade(); err != nil {
		return err
	}
	p.counters.Close()
	p.noter.close()
	return errors.Join(p.inbox.close(), p.local.close())
}

// checkMade refuses a Producer that New did not make.
func (p *Producer) checkMade() error {
	if p == nil || p.store == nil {
		return errors.New("the producer is not made by producer.New")
	}
	return nil
}

// checkCaller is why this Producer makes and changes no calls.
func (p *Producer) checkCaller() error {
	if err := p.checkMade(); err != nil {
		return err
	}
	if p.cfg.Namespace == refcache.AllNamespaces {
		return errors.New("a producer of all namespaces only reads")
	}
	if err := refcache.CheckName(p.cfg.Namespace); err != nil {
		return fmt.Errorf("namespace: %w", err)
	}
	return nil
}
