package queue_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// dumped is all that a Redis holds.
func (h *house) dumped() map[string]string {
	h.Helper()
	all := map[string]string{}
	for _, key := range h.rdb.Keys(h.Context(), "*").Val() {
		all[key] = h.rdb.Dump(h.Context(), key).Val()
	}
	return all
}

// asynq's own scripts, with what stands around them here.
func TestOnAFullRedisNoDoorbellIsHalfMoved(t *testing.T) {
	t.Parallel()
	options := testkit.Options(testkit.New(t, "--save", "", "--maxmemory-policy", "noeviction").Addr)
	rdb := redis.NewClient(options)
	defer rdb.Close()
	s := store.New(rdb)
	h := &house{t, nil, rdb, s, queue.New(rdb, s), asynq.NewInspectorFromRedisClient(rdb)}
	fill := func(limit string) { require.NoError(h, rdb.ConfigSet(t.Context(), "maxmemory", limit).Err()) }

	first, second, third := h.submit(1), h.submit(1), h.submit(1)
	h.enqueue(first, queue.AtOnce)
	before := h.dumped()
	fill("1")
	err := h.bell.Enqueue(t.Context(), second, queue.AtOnce)
	require.ErrorContains(t, err, "OOM")
	for _, err := range h.bell.EnqueueMany(t.Context(), []store.Record{second, third}, queue.AtOnce) {
		require.ErrorContains(t, err, "OOM")
	}
	h.enqueue(first, queue.AtOnce) // it is there
	require.Equal(t, before, h.dumped())

	refused, ran := make(chan error, 1000), make(chan refcache.Ref, 10)
	for _, known := range []*store.Known{store.NewKnown([]string{thumb}), store.NewKnown(nil)} { // one would run it, one would set it aside
		c := h.config("w1", 1)
		c.Known = known
		c.Dequeue = func(ctx context.Context, name string, from store.Doorbells) (queue.Dequeued, error) {
			_, err := s.DequeueAndClaim(ctx, name, rand.Text(), "w1", known, from)
			refused <- err
			return queue.Dequeued{}, err
		}
		l := h.listenerWith(c, func(context.Context, queue.Doorbell) queue.Answer { return queue.Answer{} })
		for range 2 {
			require.True(t, script.Full(<-refused))
		}
		l.Shutdown()
	}
	after := h.dumped()
	for key := range after { // asynq's server writes of itself what can be written
		if _, was := before[key]; !was {
			require.Contains(t, key, "asynq:servers")
			delete(after, key)
		}
	}
	require.Equal(t, before, after)

	fill("0")
	h.enqueue(second, queue.AtOnce)
	h.enqueue(third, queue.AtOnce)
	l := h.listener("one", 1, func(_ context.Context, d queue.Doorbell) queue.Answer {
		ran <- d.Ref
		return queue.Answer{}
	})
	defer l.Shutdown()
	var all []refcache.Ref
	for range 3 {
		select {
		case ref := <-ran:
			all = append(all, ref)
		case <-time.After(time.Minute):
			require.FailNow(t, "not all were rung", all)
		}
	}
	require.ElementsMatch(t, []refcache.Ref{first.Ref, second.Ref, third.Ref}, all)
}
