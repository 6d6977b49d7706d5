package admin

import (
	"context"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// Sizes counts what is in the queues named, by name; in all queues that were ever used when none is named. What it
// costs does not grow with the queues, so OldestPending is the longest of the 16 that were created first. With a
// *monitor.PartialError the sizes are those of the other queues.
func (a *Admin) Sizes(ctx context.Context, queues ...string) ([]monitor.QueueSize, error) {
	if err := a.checkNamed(queues); err != nil {
		return nil, err
	}
	found, err := store.InQueues(ctx, a.store, queues, a.store.Sizes)
	all := make([]monitor.QueueSize, len(found))
	for i, queue := range found {
		s := queue.Told
		all[i] = monitor.QueueSize{Queue: queue.Queue, Waiting: s.Tasks[refcache.Waiting], Pending: s.Tasks[refcache.Pending],
			Processing: s.Tasks[refcache.Processing], Retrying: s.Tasks[refcache.Retrying], Failed: s.Tasks[refcache.Failed], Cancelled: s.Tasks[refcache.Cancelled],
			Workers: s.Workers, OldestPending: s.OldestPending}
	}
	return all, err
}

// checkNamed refuses what can be no queue.
func (a *Admin) checkNamed(queues []string) error {
	if err := a.checkMade(); err != nil {
		return err
	}
	for _, queue := range queues {
		if err := refcache.CheckQueue(queue); err != nil {
			return err
		}
	}
	return nil
}
