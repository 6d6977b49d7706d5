package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// readInfo reads what a server tells of itself, by name; nothing if it refuses to.
func readInfo(ctx context.Context, rdb redis.Cmdable) (map[string]string, error) {
	text, err := rdb.Info(ctx).Result() // all sections: before Redis 7, only one could be named
	if err != nil && !Refuses(err) {
		return nil, err
	}
	return infoOf(text), nil
}

// infoOf are the lines of INFO, and of what is written like it.
func infoOf(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// memoryIn reads how many bytes a server uses that count against its maxmemory, all but the buffers of replicas and of the append-only
// file, and that limit; 0 if there is none, or it does not tell.
func memoryIn(info map[string]string) (used, limit int64) {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(info[name], 10, 64)
		return n
	}
	return number("used_memory") - number("mem_not_counted_for_evict"), number("maxmemory")
}

// sampledKeys is how many keys of a server are looked at to tell what takes its memory.
const sampledKeys = 200

// memoryUses tells what takes the memory of a server, by a sample of its keys. It is empty if the server refuses that.
func memoryUses(ctx context.Context, rdb redis.Cmdable) ([]monitor.MemoryUse, error) {
	pipe := rdb.Pipeline()
	all, keys := pipe.DBSize(ctx), make([]*redis.StringCmd, sampledKeys)
	for i := range keys {
		keys[i] = pipe.RandomKey(ctx)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unlessRefused(err)
	}
	sizes, kinds := make([]*redis.IntCmd, len(keys)), make([]func() string, len(keys))
	for i, key := range keys {
		sizes[i], kinds[i] = pipe.MemoryUsage(ctx, key.Val()), kindOf(ctx, pipe, key.Val())
	}
	_, _ = pipe.Exec(ctx) // each answer has its error
	taken := map[string]int64{}
	for i, size := range sizes {
		switch err := size.Err(); {
		case err == nil:
			taken[kinds[i]()] += size.Val()
		case !Refuses(err) && !isNil(err): // a key may have gone
			return nil, err
		}
	}
	var uses []monitor.MemoryUse
	for what, bytes := range taken {
		uses = append(uses, monitor.MemoryUse{What: what, Bytes: int64(float64(bytes) / sampledKeys * float64(all.Val()))})
	}
	return uses, nil
}

func unlessRefused(err error) error {
	if Refuses(err) || isNil(err) {
		return nil
	}
	return err
}

// kindOf reads in a pipeline what a key is for. After that it tells.
func kindOf(ctx context.Context, pipe redis.Pipeliner, key string) func() string {
	of := func(text string) func() string { return func() string { return text } }
	family, rest, _ := strings.Cut(key, ":{")
	_, name, ours := strings.Cut(rest, "}:")
	isTask := strings.HasPrefix(name, "t:")
	switch {
	case ours && family == "refq" && isTask:
		state := pipe.HGet(ctx, key, "state")
		return func() string { return kindOfRecord(state.Val()) }
	case ours && family == "asynq" && isTask:
		state := pipe.HGet(ctx, key, "state")
		return func() string {
			if state.Val() == "archived" {
				return "asynq's archive"
			}
			return "asynq's other keys"
		}
	case family == "asynq" && name == "archived":
		return of("asynq's archive")
	case family == "asynq", strings.HasPrefix(key, "asynq:"):
		return of("asynq's other keys")
	case family == "refq", key == queuesKey:
		return of("refq's other keys")
	}
	return of("keys of others")
}

func kindOfRecord(state string) string {
	words := strings.SplitN(state, ",", 3)
	if len(words) < 2 {
		return "refq's other keys"
	}
	switch status := refcache.Status(words[1]); {
	case status == refcache.Complete:
		return "results"
	case status.IsFinal():
		return "failures"
	}
	return "calls in flight"
}
