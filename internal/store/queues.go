package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/monitor"
)

// Queues returns the names of all queues that were ever used, in no order.
func (s *Store) Queues(ctx context.Context) ([]string, error) {
	queues, err := s.rdb.SMembers(ctx, queuesKey).Result()
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	s.Knows(queues...)
	return queues, nil
}

// AddQueue notes that a queue is used.
func (s *Store) AddQueue(ctx context.Context, queue string) error {
	s.Knows(queue)
	if err := s.rdb.SAdd(ctx, queuesKey, queue).Err(); err != nil {
		s.CountError("note_queue", err)
		return fmt.Errorf("note queue %s: %w", queue, err)
	}
	return nil
}

// Knows notes queues that this process has to do with, for when Redis cannot list them.
func (s *Store) Knows(queues ...string) {
	if s.names != nil {
		s.names.add(queues)
	}
}

var errUnlisted = errors.New("the list of queues is missing, only those are looked at that this process knows")

// QueueNames returns the names of the queues to look at: all that were ever used. Of a Cluster the node with their list may not
// answer: then it is missing, and the names are those that this process knows, by whichever Store of the same client.
func (s *Store) QueueNames(ctx context.Context) ([]string, []monitor.Missing, error) {
	if s.names == nil {
		queues, err := s.Queues(ctx)
		return queues, nil, err
	}
	listed, missing, err := byNode(ctx, s, []string{queuesKey}, func(key string) string { return key },
		func(ctx context.Context, _ string) ([]string, error) { return s.Queues(ctx) })
	switch {
	case err != nil:
		return nil, nil, err
	case len(missing) == 0:
		return listed[queuesKey], nil, nil
	}
	return s.names.all(), []monitor.Missing{{Node: missing[0].Node, Err: fmt.Errorf("%w: %w", errUnlisted, missing[0].Err)}}, nil
}

// names are those of queues that were heard of. It is safe for concurrent use.
type names struct {
	mu    sync.Mutex
	heard map[string]bool
}

// heardOf has the names of the queues of each Cluster.
var heardOf script.Beside[redis.ClusterClient, *names]

// namesOf is the same for all who use the client of a Cluster; nil for that of one server, where the list is with the rest.
func namesOf(rdb redis.UniversalClient) *names {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return nil
	}
	n, _ := heardOf.Of(cluster, &names{heard: map[string]bool{}})
	return n
}

func (n *names) add(queues []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, queue := range queues {
		n.heard[queue] = true
	}
}

func (n *names) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.heard))
}
