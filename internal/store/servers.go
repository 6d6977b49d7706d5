package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

// Refuses reports whether an error is an answer of Redis: it could be reached, but does not do what was asked.
func Refuses(err error) bool {
	var refusal redis.Error
	return errors.As(err, &refusal) && !isNil(err)
}

var errUntold = errors.New("what it tells of itself is missing")

// Servers looks at the servers that hold tasks. What a server refuses to tell is unknown, and no error. Those of a Cluster that do
// not answer within 3 s are missing.
func (s *Store) Servers(ctx context.Context) ([]monitor.ServerHealth, []monitor.Missing, error) {
	found, silent, err := onNodes(ctx, s.rdb, func(ctx context.Context, addr string, rdb redis.UniversalClient) (monitor.ServerHealth, error) {
		h, err := lookAtServer(ctx, rdb)
		h.Addr = addr
		return h, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look at Redis: %w", err)
	}
	for i, m := range silent {
		silent[i] = monitor.Missing{Node: m.Node, Err: fmt.Errorf("%w: %w", errUntold, m.Err)}
	}
	all := slices.SortedFunc(maps.Values(found), func(a, b monitor.ServerHealth) int { return strings.Compare(a.Addr, b.Addr) })
	return all, silent, nil
}

// NodeState is what a node that holds tasks tells of itself at little cost.
type NodeState struct {
	Up                         bool
	Told                       bool  // what follows
	Memory, MaxMemory, Evicted int64 // bytes in use and at most, 0 if there is no limit; keys that were evicted since it started
}

// Nodes tells of the nodes that hold tasks, by host:port: those that do not answer, within 3 s on a Cluster, are not up. What has no
// address of its own is not told of.
func (s *Store) Nodes(ctx context.Context) map[string]NodeState {
	states, silent, err := onNodes(ctx, s.rdb, func(ctx context.Context, _ string, rdb redis.UniversalClient) (NodeState, error) {
		pipe := rdb.Pipeline()
		memory, stats := pipe.Info(ctx, "memory"), pipe.Info(ctx, "stats") // before Redis 7, only one could be named
		_, err := pipe.Exec(ctx)
		if err != nil {
			return NodeState{Up: Refuses(err)}, nil
		}
		info := infoOf(memory.Val() + stats.Val())
		state := NodeState{Up: true, Told: true}
		state.Memory, _ = strconv.ParseInt(info["used_memory"], 10, 64)
		state.MaxMemory, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
		state.Evicted, _ = strconv.ParseInt(info["evicted_keys"], 10, 64)
		return state, nil
	})
	if err != nil {
		return nil
	}
	for _, m := range silent {
		states[m.Node] = NodeState{}
	}
	delete(states, "")
	return states
}

// tableWithin is how long the newest table of a Cluster's slots is waited for.
const tableWithin = time.Second

// onNodes asks the one server, or all masters of a Cluster side by side.
func onNodes[T any](ctx context.Context, rdb redis.UniversalClient, ask func(ctx context.Context, addr string, rdb redis.UniversalClient) (T, error)) (map[string]T, []monitor.Missing, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		addr := script.NodeOf(ctx, rdb, "")
		told, err := ask(ctx, addr, rdb)
		return map[string]T{addr: told}, nil, err
	}
	var mu sync.Mutex
	masters, nodes := map[string]*redis.Client{}, map[string][]string{}
	reading, cancel := context.WithTimeout(ctx, tableWithin)
	defer cancel()
	err := cluster.ForEachMaster(reading, func(_ context.Context, master *redis.Client) error { // called concurrently
		mu.Lock()
		defer mu.Unlock()
		addr := master.Options().Addr
		masters[addr], nodes[addr] = master, []string{addr}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return sideBySide(ctx, nodes, func(ctx context.Context, addr string) (T, error) { return ask(ctx, addr, masters[addr]) })
}

func lookAtServer(ctx context.Context, rdb redis.Cmdable) (h monitor.ServerHealth, err error) {
	if h.Latency, h.ClockSkew, err = clock(ctx, rdb); err != nil {
		return h, err
	}
	info, err := readInfo(ctx, rdb)
	if err != nil {
		return h, err
	}
	h.Version = info["redis_version"]
	if info["server_name"] == "valkey" {
		h.Valkey = info["valkey_version"]
	}
	h.Role = info["role"]
	if n, err := strconv.Atoi(info["connected_slaves"]); err == nil {
		h.Replicas = &n
	}
	h.InMemory = info["server_name"] == "refq-memredis" // as internal/memredis has it
	h.EvictionPolicy = info["maxmemory_policy"]
	h.UsedMemory, h.MaxMemory = memoryIn(info)
	if aof, ok := info["aof_enabled"]; ok {
		h.AppendOnly = new(aof == "1")
	}
	for _, name := range []string{"aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"} {
		if status := info[name]; status != "" && status != "ok" {
			h.SaveError = name + " is " + status
			break
		}
	}
	if info["cluster_enabled"] == "1" {
		if h.Cluster, err = lookAtCluster(ctx, rdb); err != nil {
			return h, err
		}
	}
	save, err := rdb.ConfigGet(ctx, "save").Result()
	if value, ok := save["save"]; ok {
		h.Snapshots = new(value != "")
	}
	if err != nil && !Refuses(err) {
		return h, err
	}
	if !h.NearlyFull() {
		return h, nil
	}
	h.MemoryUses, err = memoryUses(ctx, rdb)
	return h, err
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
