//go:build unix

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/refq/refq/refcache"
)

var tenants = scenario{
	name: "tenants", harm: "for 40 s three times the calls that workers can run, 90 % of them of one tenant",
	must:   "p95 of the other tenants' calls <= the time of two calls",
	policy: policy{Gate: refcache.Gate{Name: "fair", All: refcache.Slots}},
	within: [2]time.Duration{2 * time.Minute, 5 * time.Minute},
	run:    shareOut,
}

// shareOut has one tenant submit 90 calls a second and three others make 10, where 32 slots and calls of a second make 32. The
// calls differ a little in length: else all slots would be free at the same time, and then for a second none.
func shareOut(ctx context.Context, s *stage) (r report, err error) {
	const takes, slots, others = 1000, 32, 1_000_000 // ms of a call; number of the others' first job
	s.brief.Concurrency = slots / 2
	if _, err := s.startWorkers(ctx, 2); err != nil {
		return r, err
	}
	if err := s.untilSlotsCount(ctx, slots); err != nil {
		return r, err
	}
	long := either(s, 8, 40)
	greedy, err := s.startProducer(load{Calls: 90 * long, Callers: 8, PerSecond: 90, Least: takes - 200, Most: takes + 200, NoWait: true, Shares: []string{"greedy"}})
	if err != nil {
		return r, err
	}
	if err := s.untilWaiting(ctx, 2*slots); err != nil {
		return r, err
	}
	modest, err := s.startProducer(load{First: others, Calls: 10 * long, Callers: 10 * long, PerSecond: 10, Least: takes - 200, Most: takes + 200,
		Shares: []string{"modest", "quiet", "seldom"}})
	if err != nil {
		return r, err
	}
	if err := greedy.end(time.Minute); err != nil {
		return r, err
	}
	waiting, err := s.waiting(ctx)
	if err != nil {
		return r, err
	}
	if err := modest.end(time.Minute); err != nil {
		return r, err
	}
	if err := s.untilEnded(ctx, refcache.Complete, 100*long); err != nil {
		return r, err
	}
	_, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	times, err := s.latencies(others)
	if err != nil {
		return r, err
	}
	slices.Sort(times)
	r.showAccount(a)
	r.show(a.calls == 100*long && waiting > 3*slots, "%d of them in line in the end for %d slots", waiting, slots)
	limit := s.within(2 * takes * time.Millisecond)
	r.show(len(times) == 10*long && percentile(times, 95) <= limit, "%d calls of the others, of %s: p50 %s, p95 %s, most %s", len(times),
		takes*time.Millisecond, round(percentile(times, 50)), round(percentile(times, 95)), round(times[len(times)-1]))
	return r, nil
}

// waiting is how many calls wait for their turn.
func (s *stage) waiting(ctx context.Context) (int, error) {
	n, err := s.client.ZCard(ctx, "refq:{"+queue+"}:waiting").Result()
	return int(n), err
}

func (s *stage) untilWaiting(ctx context.Context, n int) error {
	return s.until(ctx, fmt.Sprintf("%d calls wait for their turn", n), func() (bool, error) {
		found, err := s.waiting(ctx)
		return found >= n, err
	})
}

// latencies are the times from when callers made a call until they had its answer, of jobs from a number on.
func (s *stage) latencies(first int) (times []time.Duration, err error) {
	made := map[int]time.Time{}
	err = readJournals(s.dir, producerRole, func(l line) {
		switch {
		case l.N < first:
		case l.Kind == asked:
			made[l.N] = l.time()
		case l.Kind == answered:
			times = append(times, l.time().Sub(made[l.N]))
		}
	})
	return times, err
}
