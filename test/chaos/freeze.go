//go:build unix

package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/refq/refq/refcache"
)

var freezing = scenario{
	name: "freeze", harm: "SIGSTOP of a worker for 40 s, then SIGCONT, 20 times",
	must:   "0 stale writes accepted, each result from the newer attempt",
	within: [2]time.Duration{100 * time.Second, 8 * time.Minute},
	run:    freezeWorkers,
}

// freeze is a worker that stood still for a while.
type freeze struct {
	pid        int
	from, till time.Time
}

func freezeWorkers(ctx context.Context, s *stage) (r report, err error) {
	if _, err := s.startWorkers(ctx, 5); err != nil {
		return r, err
	}
	calls, err := s.startProducer(load{Callers: 100, PerSecond: 6, Least: 500, Most: 4000})
	if err != nil {
		return r, err
	}
	var all []freeze
	for range either(s, 1, 5) {
		s.pause(ctx, 3*time.Second, 4*time.Second)
		some, err := s.freeze(4, either(s, 12*time.Second, 40*time.Second))
		if err != nil {
			return r, err
		}
		all = append(all, some...)
	}
	books, a, err := s.settle(ctx, calls)
	if err != nil {
		return r, err
	}
	outlived, late, stale, err := s.judgeFreezes(ctx, books, all)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(stale == 0 && outlived > 0, "%d freezes; %d attempts outlived by a newer one, %d of them tried to write their result, %d were let",
		len(all), outlived, late, stale)
	r.show(a.retries == 0, "%d attempts lost, %d retries spent", a.lost, a.retries)
	return r, nil
}

// freeze stops some workers at the same time.
func (s *stage) freeze(n int, long time.Duration) (all []freeze, err error) {
	workers := s.living(workerRole)[:n]
	for _, w := range workers {
		all = append(all, freeze{pid: w.pid(), from: time.Now()})
		err = errors.Join(err, w.signal(syscall.SIGSTOP))
	}
	time.Sleep(long)
	for i, w := range workers {
		all[i].till = time.Now()
		err = errors.Join(err, w.signal(syscall.SIGCONT))
	}
	return all, err
}

// judgeFreezes counts the attempts that a newer one had overtaken while their worker stood still, those of them that
// gave a result all the same, and those whose result stands in the record.
func (s *stage) judgeFreezes(ctx context.Context, books map[refcache.Ref]*book, all []freeze) (outlived, late, stale int, err error) {
	for _, f := range all {
		for _, b := range books {
			next := b.startAfter(f.from, f.pid)
			if !b.ranAt(f.from, f.pid) || next.IsZero() || next.After(f.till) {
				continue
			}
			outlived++
			run := b.lateRun(f)
			if run == "" {
				continue
			}
			late++
			_, stored, err := s.outcome(ctx, b.ref)
			if err != nil {
				return 0, 0, 0, err
			}
			if stored.Run == run {
				stale++
			}
		}
	}
	return outlived, late, stale, nil
}

// lateRun is the execution that gave a result after its worker stood still.
func (b *book) lateRun(f freeze) string {
	for _, l := range b.works {
		if l.PID == f.pid && l.Kind == returned && l.time().After(f.till) && b.startedBefore(l.Run, f.from) {
			return l.Run
		}
	}
	return ""
}

func (b *book) startedBefore(run string, at time.Time) bool {
	for _, l := range b.works {
		if l.Run == run && l.Kind == started {
			return l.time().Before(at)
		}
	}
	return false
}
