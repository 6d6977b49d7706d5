package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// Health surveys Redis, the calls that wait in all queues, and their workers. Single calls are those of the Admin's
// namespace; numbers are of all. It changes nothing, and what it reads of a queue is bounded. What Redis refuses to tell
// is unknown in the answer; an error means that Redis could not be reached.
func (a *Admin) Health(ctx context.Context) (monitor.Health, error) {
	if err := a.checkMade(); err != nil {
		return monitor.Health{}, err
	}
	var h monitor.Health
	if a.change.Namespace != refcache.AllNamespaces {
		h.Namespace = a.change.Namespace
	}
	err := a.surveyRedis(ctx, &h)
	if err == nil {
		err = a.surveyQueues(ctx, &h)
	}
	if err == nil {
		h.Gates, err = a.Gates(ctx)
	}
	if store.Refuses(err) { // the finding about permissions says more
		h.Blind, h.Queues, h.Workers, h.Pauses, h.Gates, err = err.Error(), nil, nil, nil, nil, nil
	}
	if err != nil {
		return monitor.Health{}, fmt.Errorf("look at the health of Redis and workers: %w", err)
	}
	return h, nil
}

func (a *Admin) surveyRedis(ctx context.Context, h *monitor.Health) (err error) {
	if h.Servers, err = a.store.Servers(ctx); err != nil {
		return err
	}
	if h.User, err = a.store.User(ctx); err != nil {
		return err
	}
	queues, err := a.store.Queues(ctx)
	if err != nil && !store.Refuses(err) {
		return err
	}
	if len(queues) == 0 {
		queues = []string{refcache.Defaults.Queue}
	}
	var needs []store.Need
	for _, name := range queues {
		needs = append(needs, slices.Concat(store.Needs(name), queue.Needs(name))...)
	}
	slices.SortStableFunc(needs, func(a, b store.Need) int { return strings.Compare(a.Keys, b.Keys) })
	h.Refused, err = a.store.Refused(ctx, store.United(needs))
	return err
}

func (a *Admin) surveyQueues(ctx context.Context, h *monitor.Health) error {
	queues, err := a.store.Queues(ctx)
	if err != nil {
		return err
	}
	slices.Sort(queues)
	workers := map[string]monitor.WorkerHealth{}
	for _, name := range queues {
		queue, here, err := a.store.Overview(ctx, name, a.change.Namespace)
		if err != nil {
			return err
		}
		if queue.Archived, err = a.queue.Archived(ctx, name); err != nil {
			return err
		}
		h.Queues = append(h.Queues, queue)
		for _, w := range here {
			workers[w.ID] = merge(workers[w.ID], w)
		}
	}
	for _, w := range workers {
		h.Workers = append(h.Workers, w)
	}
	if h.Pauses, err = a.Pauses(ctx); err != nil {
		return err
	}
	slices.SortFunc(h.Workers, func(a, b monitor.WorkerHealth) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

// merge puts together what two queues know of a worker: the later word counts.
func merge(a, b monitor.WorkerHealth) monitor.WorkerHealth {
	latest := b
	if a.LastBeat.After(b.LastBeat) {
		latest = a
	}
	latest.Queues, latest.Running = slices.Concat(a.Queues, b.Queues), a.Running+b.Running
	latest.NotAsking = slices.Concat(a.NotAsking, b.NotAsking)
	return latest
}
