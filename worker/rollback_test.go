package worker_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// snapshot reads all that Redis has, and returns a function that makes it so again: what a failover to a replica does
// that has not seen the last writes.
func (w *house) snapshot() (rollBack func()) {
	ctx, rdb := context.Background(), w.Redis
	var restore []func(redis.Pipeliner)
	for _, key := range rdb.Keys(ctx, "*").Val() {
		ttl := rdb.PTTL(ctx, key).Val()
		var write func(redis.Pipeliner)
		switch kind := rdb.Type(ctx, key).Val(); kind {
		case "hash":
			fields := rdb.HGetAll(ctx, key).Val()
			write = func(p redis.Pipeliner) { p.HSet(ctx, key, fields) }
		case "zset":
			entries := rdb.ZRangeWithScores(ctx, key, 0, -1).Val()
			write = func(p redis.Pipeliner) { p.ZAdd(ctx, key, entries...) }
		case "list":
			entries := rdb.LRange(ctx, key, 0, -1).Val()
			write = func(p redis.Pipeliner) { p.RPush(ctx, key, anys(entries)...) }
		case "set":
			members := rdb.SMembers(ctx, key).Val()
			write = func(p redis.Pipeliner) { p.SAdd(ctx, key, anys(members)...) }
		default:
			text := rdb.Get(ctx, key).Val()
			write = func(p redis.Pipeliner) { p.Set(ctx, key, text, 0) }
		}
		restore = append(restore, func(p redis.Pipeliner) {
			write(p)
			if ttl > 0 {
				p.PExpire(ctx, key, ttl)
			}
		})
	}
	return func() {
		_, err := rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.FlushAll(ctx)
			for _, write := range restore {
				write(p)
			}
			return nil
		})
		require.NoError(w, err)
	}
}

func anys(texts []string) (all []any) {
	for _, text := range texts {
		all = append(all, text)
	}
	return all
}

// stepOf names the writes in the life of a call, also asynq's own: taking a doorbell and answering it.
func stepOf(script string, cmd []string) string {
	if !strings.HasPrefix(cmd[0], "EVAL") || script == "claim" || script == "finish" || script == "enqueue" && strings.Contains(cmd[3], ":t:") {
		return script
	}
	has := func(part string) bool {
		return slices.ContainsFunc(cmd, func(word string) bool { return strings.HasPrefix(word, "asynq:{default}:"+part) })
	}
	switch {
	case has("lease") && has("paused"):
		return "dequeue"
	case has("lease") && has("t:"):
		return "answer"
	}
	return ""
}

// before has the snapshot taken when the call is about to make a step for the first time.
func (w *house) before(step string) (taken <-chan func()) {
	snapshots := make(chan func(), 1)
	var done atomic.Bool
	w.faults(func(script string, cmd []string) memredis.Fault {
		if !done.Load() && stepOf(script, cmd) == step && w.Redis.Exists(context.Background(), "refq:{default}:pending", asynqPrefix+"pending", asynqPrefix+"active").Val() > 0 && done.CompareAndSwap(false, true) {
			snapshots <- w.snapshot()
		}
		return memredis.Pass
	})
	return snapshots
}

// Whatever a failover takes back: what was written last, with all that followed, is gone, and workers know of a future
// that has not come.
func TestCallsEndAlthoughRedisWentBackInTime(t *testing.T) {
	for _, step := range []string{"enqueue", "dequeue", "claim", "finish", "answer"} {
		for _, later := range []time.Duration{time.Millisecond, 4 * time.Second} {
			for _, fn := range []func(run int) error{
				func(int) error { return nil },
				func(int) error { return worker.Permanent(errDown) },
				func(run int) error { return map[int]error{1: errDown}[run] },
			} {
				if retried := fn(1) != nil && fn(2) == nil; step == "claim" && !retried {
					continue // a first attempt is claimed with its doorbell; that is the step dequeue
				}
				t.Run(fmt.Sprintf("before %s, %s later/%v", step, later, fn(1)), func(t *testing.T) {
					inHouse(t, func(w *house) { w.goesBack(step, later, fn) })
				})
			}
		}
	}
}

func (w *house) goesBack(step string, later time.Duration, ends func(run int) error) {
	w.Helper()
	fn := &runs{fn: func(ctx context.Context, run int) (string, error) {
		time.Sleep(workTime)
		return "done", cmp.Or(ends(run), ctx.Err())
	}}
	if step == "enqueue" {
		w.cancelled(work, "in")
	}
	w.Start(worker.Config{}, world.Handles(work, fn.run))
	time.Sleep(time.Second)
	taken := w.before(step)
	ref := w.submit(work, "in")
	waited := make(chan error, 1)
	go func() {
		_, err := producerWait(w, work, ref)
		waited <- err
	}()
	rollBack := <-taken
	time.Sleep(later)
	rollBack()
	back := time.Now()

	want := refcache.Complete
	if ends(2) != nil {
		want = refcache.Failed
	}
	info := w.await(ref, want)
	for n := range fn.count() {
		if again := fn.at(n + 1); again.After(back) {
			require.LessOrEqual(w, again.Sub(back), mended)
			break
		}
	}
	require.LessOrEqual(w, info.LostCount, 1)
	require.LessOrEqual(w, info.RetryCount, 1)
	time.Sleep(3 * time.Second)
	select {
	case err := <-waited:
		require.Equal(w, want == refcache.Complete, err == nil, err)
	default:
		require.Fail(w, "the waiter was not told")
	}
	time.Sleep(130 * time.Second) // whatever may still come
	require.Equal(w, info, w.info(ref))
	for _, set := range []string{"pending", "active", "lease", "retry", "scheduled"} {
		require.Zero(w, w.Redis.Exists(w.Context(), asynqPrefix+set).Val(), set)
	}
}
