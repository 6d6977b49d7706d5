package script

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// failoverAddr is what go-redis has for an address where Sentinels tell it.
const failoverAddr = "FailoverClient"

// NodeOf is the host:port of the Redis that holds a key, as far as rdb knows; empty if it does not. Of a Cluster's client it takes
// the table of slots that is there, so it talks to no node but when there is none yet.
func NodeOf(ctx context.Context, rdb redis.UniversalClient, key string) string {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		node, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return ""
		}
		return node.Options().Addr
	}
	if plain, ok := Plain(rdb).(*redis.Client); ok {
		if addr := plain.Options().Addr; addr != failoverAddr {
			return addr
		}
	}
	return ""
}

// Reach returns nil as soon as Redis answers; of a Cluster, as soon as any node does that the client knows.
func Reach(ctx context.Context, rdb redis.UniversalClient) error {
	if _, ok := rdb.(*redis.ClusterClient); !ok {
		return rdb.Ping(ctx).Err()
	}
	_, err := Anywhere(ctx, rdb)
	return err
}

// Anywhere returns a client for what any node may answer: that of the first node of a Cluster that answers now. A client of one server is returned as it is.
func Anywhere(ctx context.Context, rdb redis.UniversalClient) (redis.UniversalClient, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return rdb, nil
	}
	nodes := someNodes(ctx, cluster)
	if len(nodes) == 0 {
		return rdb, rdb.Ping(ctx).Err() // which says why
	}
	type answer struct {
		node *redis.Client
		err  error
	}
	answers := make(chan answer, len(nodes))
	for _, node := range nodes {
		go func() { answers <- answer{node, node.Ping(ctx).Err()} }()
	}
	var failed []error
	for range nodes {
		a := <-answers
		if a.err == nil {
			return a.node, nil
		}
		failed = append(failed, a.err)
	}
	return nil, errors.Join(failed...)
}

// someNodes are the nodes of a Cluster that its client knows, or most of them.
func someNodes(ctx context.Context, cluster *redis.ClusterClient) []*redis.Client {
	nodes := map[string]*redis.Client{}
	for _, node := range followNodes(cluster).known() {
		nodes[node.Options().Addr] = node
	}
	const samples = 256 // slots; of nodes that were there before we were, nothing else tells
	for n := range samples {
		node, err := cluster.MasterForKey(ctx, strconv.Itoa(n))
		if err != nil {
			break
		}
		nodes[node.Options().Addr] = node
	}
	return slices.Collect(maps.Values(nodes))
}
