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
	found map[string]found
}

// found is what was read of a queue.
type found struct {
	store.Sizes
	pauses []refcache.Pause
	gates  []monitor.GateState
}

// read returns what there is of the first 100 queues by name; of those that Redis does not tell there are none.
func (q *queues) read() map[string]found {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.at.IsZero() && time.Since(q.at) < queuesFresh {
		return q.found
	}
	ctx, cancel := withTimeout(context.Background()) // for all who ask, not only for the first
	defer cancel()
	all := map[string]found{}
	for _, queue := range q.names(ctx) {
		size, err := q.store.Sizes(ctx, queue)
		if err != nil {
			continue // counted among the errors of Redis
		}
		pauses, err := q.store.Pauses(ctx, queue)
		if err != nil {
			continue
		}
		gates, _ := q.store.Gates(ctx, queue) // so is this one
		all[queue] = found{size, pauses, gates}
	}
	q.at, q.found = time.Now(), all
	return all
}

func (q *queues) names(ctx context.Context) []string {
	if q.worker != nil {
		names := q.worker.Queues()
		return names[:min(len(names), maxQueues)]
	}
	names, err := q.store.Queues(ctx)
	if err != nil {
		return nil // counted, too
	}
	slices.Sort(names)
	return names[:min(len(names), maxQueues)]
}

func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, probeTimeout)
}
