package admin

import (
	"context"
	"slices"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// Sizes counts what is in the queues named, by name; in all queues that were ever used when none is named. What it
// costs does not grow with the queues, so OldestPending is the longest of the 16 that were created first.
func (a *Admin) Sizes(ctx context.Context, queues ...string) ([]monitor.QueueSize, error) {
	queues, err := a.named(ctx, queues)
	if err != nil {
		return nil, err
	}
	slices.Sort(queues)
	all := make([]monitor.QueueSize, len(queues))
	for i, queue := range queues {
		s, err := a.store.Sizes(ctx, queue)
		if err != nil {
			return nil, err
		}
		all[i] = monitor.QueueSize{Queue: queue, Waiting: s.Tasks[refcache.Waiting], Pending: s.Tasks[refcache.Pending],
			Processing: s.Tasks[refcache.Processing], Retrying: s.Tasks[refcache.Retrying], Failed: s.Tasks[refcache.Failed], Cancelled: s.Tasks[refcache.Cancelled],
			Workers: s.Workers, OldestPending: s.OldestPending}
	}
	return all, nil
}

// named are the queues that are meant: those named, or all.
func (a *Admin) named(ctx context.Context, queues []string) ([]string, error) {
	if err := a.checkMade(); err != nil {
		return nil, err
	}
	for _, queue := range queues {
		if err := refcache.CheckQueue(queue); err != nil {
			return nil, err
		}
	}
	if len(queues) == 0 {
		return a.store.Queues(ctx)
	}
	return slices.Clone(queues), nil
}
