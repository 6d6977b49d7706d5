package producer

import (
	"context"
	"slices"
	"time"

	"github.com/refq/refq/refcache"
)

// QueueSize is how much there is in a queue, of all namespaces.
type QueueSize struct {
	Queue string
	// By status, but for complete: of those Redis lists only the last 10,000.
	Pending, Processing, Retrying, Failed, Cancelled int64
	Workers                                          int64         // that live
	OldestPending                                    time.Duration // how long the pending task has waited that waits longest; 0: none waits
}

// Sizes counts what is in the queues named, by name; in all queues that were ever used when none is named. What it costs
// does not grow with the queues, so OldestPending is the longest of the 16 that were created first.
func (p *Producer) Sizes(ctx context.Context, queues ...string) ([]QueueSize, error) {
	queues, err := p.named(ctx, queues)
	if err != nil {
		return nil, err
	}
	slices.Sort(queues)
	all := make([]QueueSize, len(queues))
	for i, queue := range queues {
		s, err := p.store.Sizes(ctx, queue)
		if err != nil {
			return nil, err
		}
		all[i] = QueueSize{Queue: queue, Pending: s.Tasks[refcache.Pending], Processing: s.Tasks[refcache.Processing],
			Retrying: s.Tasks[refcache.Retrying], Failed: s.Tasks[refcache.Failed], Cancelled: s.Tasks[refcache.Cancelled],
			Workers: s.Workers, OldestPending: s.OldestPending}
	}
	return all, nil
}

// named are the queues that are meant: those named, or all.
func (p *Producer) named(ctx context.Context, queues []string) ([]string, error) {
	for _, queue := range queues {
		if err := refcache.CheckQueue(queue); err != nil {
			return nil, err
		}
	}
	if len(queues) == 0 {
		return p.store.Queues(ctx)
	}
	return slices.Clone(queues), nil
}
