package script

import (
	"context"
	"errors"

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
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return rdb.Ping(ctx).Err()
	}
	nodes := followNodes(cluster).known()
	if len(nodes) == 0 { // it was never used, or not by us
		return rdb.Ping(ctx).Err()
	}
	answers := make(chan error, len(nodes))
	for _, node := range nodes {
		go func() { answers <- node.Ping(ctx).Err() }()
	}
	var failed []error
	for range nodes {
		err := <-answers
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
