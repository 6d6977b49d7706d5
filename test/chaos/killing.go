//go:build unix

package main

import (
	"context"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

var killing = scenario{
	name: "kill", harm: "SIGKILL of a worker with running attempts, 100 times",
	must:   "0 lost, 0 wrong, budget untouched, kill to second start p50 <= 7 s, p99 <= 9 s",
	within: [2]time.Duration{90 * time.Second, 9 * time.Minute},
	run:    killWorkers,
}

// kill is one that was done.
type kill struct {
	pid int
	at  time.Time
}

func killWorkers(ctx context.Context, s *stage) (r report, err error) {
	if _, err := s.startWorkers(ctx, 4); err != nil {
		return r, err
	}
	calls, err := s.startProducer(load{Callers: 100, PerSecond: 6, Least: 200, Most: 2500})
	if err != nil {
		return r, err
	}
	var kills []kill
	for range either(s, 12, 100) {
		s.pause(ctx, either(s, 500*time.Millisecond, 2*time.Second), either(s, 2*time.Second, 4*time.Second))
		k, err := s.killOne(ctx)
		if err != nil {
			return r, err
		}
		kills = append(kills, k)
		if _, err := s.startWorker(ctx); err != nil {
			return r, err
		}
	}
	books, a, err := s.settle(ctx, calls)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(a.retries == 0, "%d kills, %d attempts lost, %d retries spent", len(kills), a.lost, a.retries)
	r.showTimes("kill to second start", secondStarts(books, kills), s.within(7*time.Second), s.within(9*time.Second))
	return r, nil
}

// killOne kills a worker that runs something, but nothing that has been lost as often as it may.
func (s *stage) killOne(ctx context.Context) (k kill, err error) {
	err = s.until(ctx, "a worker may be killed", func() (bool, error) {
		mayDie := map[int]bool{}
		for info, err := range s.admin.List(ctx, admin.Filter{Status: refcache.Processing}) {
			if err != nil {
				return false, err
			}
			pid := pidOf(info.Worker)
			spared, known := mayDie[pid]
			mayDie[pid] = (spared || !known) && info.LostCount < refcache.MaxLost
		}
		for _, p := range s.living(workerRole) {
			if mayDie[p.pid()] {
				k = kill{p.pid(), p.kill()}
				return true, nil
			}
		}
		return false, nil
	})
	return k, err
}

// living are the processes of a role that run, in an order of chance.
func (s *stage) living(role string) (found []*process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.random.Perm(len(s.processes)) {
		p := s.processes[i]
		select {
		case <-p.exited:
		default:
			if p.role == role && !p.doomed {
				found = append(found, p)
			}
		}
	}
	return found
}

// secondStarts are the times from each kill to the next start of what ran there.
func secondStarts(books map[refcache.Ref]*book, kills []kill) (times []time.Duration) {
	for _, k := range kills {
		for _, b := range books {
			if !b.ranAt(k.at, k.pid) {
				continue
			}
			if next := b.startAfter(k.at, k.pid); !next.IsZero() {
				times = append(times, next.Sub(k.at))
			}
		}
	}
	return times
}
