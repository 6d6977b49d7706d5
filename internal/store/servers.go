package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/redis/go-redis/v9"
)

// Refuses reports whether an error is an answer of Redis: it could be reached, but does not do what was asked.
func Refuses(err error) bool {
	var refusal redis.Error
	return errors.As(err, &refusal) && !isNil(err)
}

// Servers looks at the servers that hold tasks. What a server refuses to tell is unknown, and no error.
func (s *Store) Servers(ctx context.Context) ([]monitor.ServerHealth, error) {
	var mu sync.Mutex
	var found []monitor.ServerHealth
	look := func(ctx context.Context, rdb *redis.Client) error { // called concurrently
		h, err := lookAtServer(ctx, rdb)
		h.Addr = rdb.Options().Addr
		mu.Lock()
		defer mu.Unlock()
		found = append(found, h)
		return err
	}
	var err error
	switch rdb := s.rdb.(type) {
	case *redis.ClusterClient:
		err = rdb.ForEachMaster(ctx, look)
	case *redis.Client:
		err = look(ctx, rdb)
	default:
		found = make([]monitor.ServerHealth, 1)
		found[0], err = lookAtServer(ctx, rdb)
	}
	if err != nil {
		return nil, fmt.Errorf("look at Redis: %w", err)
	}
	slices.SortFunc(found, func(a, b monitor.ServerHealth) int { return strings.Compare(a.Addr, b.Addr) })
	return found, nil
}

func lookAtServer(ctx context.Context, rdb redis.Cmdable) (h monitor.ServerHealth, err error) {
	if h.Latency, h.ClockSkew, err = clock(ctx, rdb); err != nil {
		return h, err
	}
	text, err := rdb.Info(ctx).Result() // all sections: before Redis 7, only one could be named
	if err != nil && !Refuses(err) {
		return h, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	h.Version = info["redis_version"]
	h.InMemory = info["server_name"] == "refq-memredis" // as internal/memredis has it
	h.EvictionPolicy = info["maxmemory_policy"]
	h.UsedMemory, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	h.MaxMemory, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	if aof, ok := info["aof_enabled"]; ok {
		h.AppendOnly = new(aof == "1")
	}
	for _, name := range []string{"aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"} {
		if status := info[name]; status != "" && status != "ok" {
			h.SaveError = name + " is " + status
			break
		}
	}
	save, err := rdb.ConfigGet(ctx, "save").Result()
	if value, ok := save["save"]; ok {
		h.Snapshots = new(value != "")
	}
	if err != nil && !Refuses(err) {
		return h, err
	}
	return h, nil
}

// clock measures the round trip, as the median of a few, and how far our clock is ahead of Redis's, by the quickest.
func clock(ctx context.Context, rdb redis.Cmdable) (latency, skew *time.Duration, err error) {
	const samples = 5
	var trips []time.Duration
	for n := range samples + 1 {
		sent := time.Now()
		theirs, err := rdb.Time(ctx).Result()
		trip := time.Since(sent)
		if Refuses(err) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if n == 0 {
			continue // it may have dialled
		}
		if trips = append(trips, trip); trip == slices.Min(trips) {
			skew = new(sent.Add(trip / 2).Sub(theirs))
		}
	}
	slices.Sort(trips)
	return &trips[samples/2], skew, nil
}
