package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// Health surveys Redis, the calls that wait in all queues, and their workers. Single calls are those of the Admin's
// namespace; numbers are of all. It changes nothing, and what it reads of a queue is bounded. What Redis refuses to tell
// is unknown in the answer; an error means that Redis could not be reached. With a *monitor.PartialError the answer is about
// the other nodes and their queues.
func (a *Admin) Health(ctx context.Context) (monitor.Health, error) { return a.HealthFor(ctx, "") }

// HealthFor is Health as a Redis user sees it who is to do what role says, as for [ACL]: what only others need may be refused.
// Without a role the user is to do all, but for what workers alone need if it may touch none of the keys of that.
func (a *Admin) HealthFor(ctx context.Context, role string) (monitor.Health, error) {
	if err := a.checkMade(); err != nil {
		return monitor.Health{}, err
	}
	if _, err := roleOf(role); role != "" && err != nil {
		return monitor.Health{}, err
	}
	h := monitor.Health{Role: role}
	if a.change.Namespace != refcache.AllNamespaces {
		h.Namespace = a.change.Namespace
	}
	missing, err := a.survey(ctx, &h)
	switch {
	case store.Refuses(err): // the finding about permissions says more
		h.Blind = err.Error()
	case err != nil:
		return monitor.Health{}, fmt.Errorf("look at the health of Redis and workers: %w", err)
	}
	err = store.Partial(missing, len(h.Servers) > 0)
	if partial, some := errors.AsType[*monitor.PartialError](err); some {
		h.Missing = partial.Missing
	}
	return h, err
}

// survey looks at the servers first: those that do not answer are not asked for anything else.
func (a *Admin) survey(ctx context.Context, h *monitor.Health) (missing []monitor.Missing, err error) {
	if h.Servers, missing, err = a.store.Servers(ctx); err != nil {
		return nil, err
	}
	if h.User, err = a.store.User(ctx); err != nil {
		return nil, err
	}
	s := a.store.Skipping(missing)
	queues, silent, unlisted := s.QueueNames(ctx)
	if unlisted != nil && !store.Refuses(unlisted) {
		return nil, unlisted
	}
	missing = append(missing, silent...)
	if err = refusals(ctx, s, needs(queues), h); err != nil || unlisted != nil {
		return missing, cmp.Or(err, unlisted)
	}
	found, silent, err := store.ByNode(ctx, s, queues, a.surveyQueue)
	addQueues(h, found)
	return append(missing, silent...), err
}

// refusals finds out what Redis refuses. A user who may touch none of the keys that only workers need is no worker's: it lacks
// nothing of what they need.
func refusals(ctx context.Context, s *store.Store, needs []store.Need, h *monitor.Health) (err error) {
	who := store.Everybody
	if h.Role != "" {
		who = roles[h.Role]
	}
	needs = slices.DeleteFunc(needs, func(n store.Need) bool { return n.By&who == 0 })
	if h.Refused, err = s.Refused(ctx, needs); err != nil || h.Role != "" {
		return err
	}
	ofWorkers := 0
	for _, n := range store.United(needs) {
		if n.By != store.Worker {
			continue
		}
		if !slices.ContainsFunc(h.Refused, func(r monitor.Refusal) bool { return r.Keys == n.Keys && len(r.Commands) == 0 && r.Reason == "" }) {
			return nil
		}
		ofWorkers++
	}
	if ofWorkers == 0 {
		return nil
	}
	h.NoWorker = true
	h.Refused, err = s.Refused(ctx, slices.DeleteFunc(slices.Clone(needs), func(n store.Need) bool { return n.By == store.Worker }))
	return err
}

// needs are what is needed in the queues, by keys.
func needs(queues []string) (all []store.Need) {
	if len(queues) == 0 {
		queues = []string{refcache.Defaults.Queue}
	}
	for _, name := range queues {
		all = append(all, slices.Concat(store.Needs(name), queue.Needs(name))...)
	}
	slices.SortStableFunc(all, func(a, b store.Need) int { return strings.Compare(a.Keys, b.Keys) })
	return all
}

// queueSurvey is what is found out in a queue.
type queueSurvey struct {
	monitor.QueueHealth
	workers []monitor.WorkerHealth
	pauses  []refcache.Pause
	gates   []monitor.GateState
}

// addQueues adds what stands in the queues.
func addQueues(h *monitor.Health, found map[string]queueSurvey) {
	workers := map[string]monitor.WorkerHealth{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		queue := found[name]
		h.Queues = append(h.Queues, queue.QueueHealth)
		for _, w := range queue.workers {
			workers[w.ID] = merge(workers[w.ID], w)
		}
		h.Pauses = append(h.Pauses, queue.pauses...)
		h.Gates = append(h.Gates, queue.gates...)
	}
	h.Pauses = mergePauses(h.Pauses)
	for _, w := range workers {
		h.Workers = append(h.Workers, w)
	}
	slices.SortFunc(h.Workers, func(a, b monitor.WorkerHealth) int { return strings.Compare(a.ID, b.ID) })
}

func (a *Admin) surveyQueue(ctx context.Context, name string) (s queueSurvey, err error) {
	if s.QueueHealth, s.workers, err = a.store.Overview(ctx, name, a.change.Namespace); err != nil {
		return s, err
	}
	if s.Archived, err = a.queue.Archived(ctx, name); err != nil {
		return s, err
	}
	if s.pauses, err = a.store.Pauses(ctx, name); err != nil {
		return s, err
	}
	s.gates, err = a.gatesIn(ctx, name)
	return s, err
}

// merge puts together what two queues know of a worker: the later word counts.
func merge(a, b monitor.WorkerHealth) monitor.WorkerHealth {
	latest := b
	if a.LastBeat.After(b.LastBeat) {
		latest = a
	}
	latest.Queues, latest.Running = slices.Concat(a.Queues, b.Queues), a.Running+b.Running
	latest.Oldest = slices.Concat(a.Oldest, b.Oldest)
	slices.SortStableFunc(latest.Oldest, func(a, b monitor.RunningAttempt) int { return cmp.Compare(b.For, a.For) })
	latest.NotAsking = slices.Concat(a.NotAsking, b.NotAsking)
	return latest
}
