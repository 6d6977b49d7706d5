package bench

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq"
)

// target is the Redis that is measured: one server, or a Cluster.
type target struct {
	server  *redis.Options // nil: a Cluster
	cluster *redis.ClusterOptions
}

// targetAt is the one of a URL. It sends nothing.
func targetAt(url string) (target, error) {
	client, err := refq.Connect(url)
	if err != nil {
		return target{}, err
	}
	defer client.Close()
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return target{cluster: cluster.Options()}, nil
	}
	return target{server: client.(*redis.Client).Options()}, nil
}

// connect returns a client as refq.Connect makes it. Its traffic is counted on the wire.
func (t target) connect(w *wire) redis.UniversalClient {
	if t.cluster != nil {
		options := *t.cluster
		options.Dialer = w.tap(options.Dialer)
		return redis.NewClusterClient(&options)
	}
	options := *t.server
	options.Dialer = w.tap(options.Dialer)
	return redis.NewClient(&options)
}

// db is the number of the database.
func (t target) db() int {
	if t.cluster != nil {
		return 0
	}
	return t.server.DB
}

// onNodes asks each master of the Redis that is observed, one after the other: what is done with an answer needs no lock.
func (s *site) onNodes(ctx context.Context, ask func(ctx context.Context, node *redis.Client) error) error {
	cluster, ok := s.observer.(*redis.ClusterClient)
	if !ok {
		return ask(ctx, s.observer.(*redis.Client))
	}
	var one sync.Mutex
	return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		one.Lock()
		defer one.Unlock()
		return ask(ctx, node)
	})
}
