package metrics

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

const (
	// queuesFresh is how long what was read is shown: a scrape more, or a second Prometheus, costs Redis nothing.
	queuesFresh = 10 * time.Second
	maxQueues   = 100
)

// queues reads the sizes of queues, and what is paused in them: those that the worker serves, or all when there is no worker.
type queues struct {
	store  *store.Store
	worker *worker.Worker

	mu    sync.Mutex // also of reading: once for all who ask meanwhile
	at    time.Time
	found reading
}

// reading is what was read.
type reading struct {
	nodes  map[string]store.NodeState
	queues map[string]found
}

// found is what was read of a queue.
type found struct {
	store.Sizes
	pauses []refcache.Pause
	gates  []monitor.GateState
}

// read returns what there is of the first 100 queues by name; of those that Redis does not tell there are none.
func (q *queues) read() reading {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.at.IsZero() && time.Since(q.at) < queuesFresh {
		return q.found
	}
	ctx, cancel := withTimeout(context.Background()) // for all who ask, not only for the first
	defer cancel()
	var r reading
	var all sync.WaitGroup
	all.Go(func() { r.nodes = q.store.Nodes(ctx) })
	all.Go(func() { r.queues = q.readQueues(ctx) })
	all.Wait()
	q.at, q.found = time.Now(), r
	return r
}

func (q *queues) readQueues(ctx context.Context) map[string]found {
	names, missing := q.names(ctx)
	told, _, _ := store.ByNode(ctx, q.store.Skipping(missing), names, func(ctx context.Context, queue string) (*found, error) {
		return q.readQueue(ctx, queue)
	})
	all := map[string]found{}
	for queue, f := range told {
		if f != nil {
			all[queue] = *f
		}
	}
	return all
}

// readQueue returns nothing where Redis does not tell. Errors are counted among those of Redis, and no other queue is the worse for
// them.
func (q *queues) readQueue(ctx context.Context, queue string) (*found, error) {
	var f found
	var err error
	if f.Sizes, err = q.store.Sizes(ctx, queue); err == nil {
		f.pauses, err = q.store.Pauses(ctx, queue)
	}
	if err != nil {
		return nil, nil
	}
	f.gates, _ = q.store.Gates(ctx, queue) // so is this one
	return &f, nil
}

func (q *queues) names(ctx context.Context) ([]string, []monitor.Missing) {
	if q.worker != nil {
		names := q.worker.Queues()
		return names[:min(len(names), maxQueues)], nil
	}
	names, missing, err := q.store.QueueNames(ctx)
	if err != nil {
		return nil, nil // counted, too
	}
	slices.Sort(names)
	return names[:min(len(names), maxQueues)], missing
}

func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, probeTimeout)
}
