//go:build unix

package main

import (
	"context"
	"time"

	"github.com/refq/refq/refcache"
)

var rolling = scenario{
	name: "rolling", harm: "rolling restart of 3 workers under load",
	must:   "0 burnt attempts, 0 lost, no handed-back call starts more than 2 s after its hand-back",
	within: [2]time.Duration{2 * time.Minute, 4 * time.Minute},
	run:    rollWorkers,
}

func rollWorkers(ctx context.Context, s *stage) (r report, err error) {
	s.brief.ShutdownTimeout = 3 * time.Second
	workers, err := s.startWorkers(ctx, 3)
	if err != nil {
		return r, err
	}
	calls, err := s.startProducer(load{Callers: 200, PerSecond: 7, Least: 300, Most: 4000})
	if err != nil {
		return r, err
	}
	restarts := 0
	for range either(s, 1, 5) {
		for i, old := range workers {
			s.pause(ctx, 500*time.Millisecond, 1500*time.Millisecond)
			if workers[i], err = s.startWorker(ctx); err != nil {
				return r, err
			}
			if err := old.stop(s.brief.ShutdownTimeout + 2*time.Second); err != nil {
				return r, err
			}
			restarts++
		}
	}
	books, a, err := s.settle(ctx, calls)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(a.retries == 0 && a.lost == 0, "%d restarts, %d hand-backs, %d retries spent, %d attempts lost", restarts, a.backs, a.retries, a.lost)
	r.showTimes("hand-back to next start", handBacks(books, a), s.within(2*time.Second), s.within(2*time.Second))
	return r, nil
}

// handBacks are the times from each hand-back to the next start.
func handBacks(books map[refcache.Ref]*book, a account) (times []time.Duration) {
	for ref, info := range a.infos {
		for _, e := range info.Events {
			if e.Kind != refcache.EventHandedBack {
				continue
			}
			if next := books[ref].startAfter(e.At, pidOf(e.By)); !next.IsZero() {
				times = append(times, next.Sub(e.At))
			}
		}
	}
	return times
}
