package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

var waiters = scenario{
	name:  "waiters",
	about: "Waiters: one producer waits for many pending calls: subscriptions, Go memory, what it sends.",
	cases: func(o Options) []trial {
		return []trial{{fmt.Sprint(o.Waiters), []side{{refqSide, refqWaiters}}}}
	},
}

// refqWaiters waits for calls that nobody runs.
func refqWaiters(ctx context.Context, g *ground) (reading, error) {
	c := g.newCaller(g.function("never", g.queue))
	defer c.close()
	n := g.options.Waiters
	refs := make([]refcache.Ref, n)
	_, err := load(ctx, callsWhileFilling, n, func(ctx context.Context, i int) (err error) {
		refs[i], err = producer.Submit(ctx, c.producer, c.function, g.parcel(i))
		return err
	})
	if err != nil {
		return nil, err
	}
	channels, err := g.channels(ctx)
	if err != nil {
		return nil, err
	}
	before, sent := memory(), g.wire.traffic().commands
	ctx, end := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	for _, ref := range refs {
		all.Go(func() {
			if _, err := producer.Wait(ctx, c.producer, c.function, ref); !errors.Is(err, errEnough) {
				end(err)
			}
		})
	}
	r, err := g.watchWaiters(ctx, n, before, sent+int64(n))
	if err == nil {
		var after int
		after, err = g.channels(ctx)
		r[Subscriptions] = float64(after - channels)
	}
	end(errEnough)
	all.Wait()
	return r, err
}

var errEnough = errors.New("waited long enough")

// watchWaiters looks at the process when all n waiters have sent their first question.
func (g *ground) watchWaiters(ctx context.Context, n int, before runtime.MemStats, sent int64) (reading, error) {
	for g.wire.traffic().commands < sent {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	used, err := g.measure(ctx, func() error { return pause(ctx, max(time.Second, g.options.Watch)) })
	if err != nil {
		return nil, err
	}
	after := memory()
	r := used.perSecond()
	r[HeapPerWaiter] = growthOf(before.HeapAlloc, after.HeapAlloc, n)
	r[StackPerWaiter] = growthOf(before.StackInuse, after.StackInuse, n)
	return r, nil
}

func growthOf(before, after uint64, n int) float64 {
	return (float64(after) - float64(before)) / float64(n)
}

// memory is what is in use after a thorough collection: what only a pool holds takes two to go.
func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// channels counts the channels that anybody hears.
func (g *ground) channels(ctx context.Context) (n int, err error) {
	err = g.onNodes(ctx, func(ctx context.Context, node *redis.Client) error {
		names, err := node.PubSubShardChannels(ctx, "*").Result()
		if err != nil { // before Redis 7 all channels are plain
			names, err = node.PubSubChannels(ctx, "*").Result()
		}
		n += len(names)
		return err
	})
	return n, err
}
