//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/refcache"
)

var cuts = scenario{
	name: "cuts", harm: "connections cut at a random byte, 10,000 calls",
	must:   "0 lost, 0 waiters told more than 3 s after the outcome was stored, 0 double outcomes",
	within: [2]time.Duration{2 * time.Minute, 12 * time.Minute},
	run:    cutConnections,
}

// maxCarried is how many bytes a connection carries at most before it is cut: those of some ten calls.
const maxCarried = 60_000

func cutConnections(ctx context.Context, s *stage) (r report, err error) {
	proxy, err := netproxy.Listen(s.redis.Addr)
	if err != nil {
		return r, err
	}
	defer proxy.Close()
	var conns atomic.Int64
	proxy.SetLifetime(func() int64 {
		conns.Add(1)
		return rand.Int64N(maxCarried) // which connection is made when is chance, whatever the seed
	})
	s.brief.Redis = s.url(proxy.Addr()) // the director's own way stays direct
	if _, err := s.startWorkers(ctx, 3); err != nil {
		return r, err
	}
	calls := either(s, 1000, 10_000)
	var producers []*process
	for i := range 4 {
		p, err := s.startProducer(load{First: i * 1_000_000, Calls: calls / 4, Callers: 25, Most: 20, Failing: 0.02})
		if err != nil {
			return r, err
		}
		producers = append(producers, p)
	}
	if err := s.until(ctx, "every call is answered", func() (bool, error) { return allExited(producers), nil }); err != nil {
		return r, err
	}
	for _, p := range producers {
		if err := p.end(time.Second); err != nil {
			return r, err
		}
	}
	books, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(a.calls == calls, "%d connections cut, each after less than %d bytes; %d attempts lost, as their claim's answer was cut",
		conns.Load(), maxCarried, a.lost)
	n, said, err := s.refusals()
	if err != nil {
		return r, err
	}
	r.show(true, "%d calls refused and made again%s", n, examples(said))
	told := tellings(books, a)
	r.showTimes("outcome stored to caller told", told, s.within(3*time.Second), s.within(3*time.Second))
	limit := s.within(3 * time.Second)
	late := slices.DeleteFunc(told, func(t time.Duration) bool { return t <= limit })
	r.show(len(late) == 0, "%d told later than %v after", len(late), limit)
	return r, nil
}

func allExited(processes []*process) bool {
	for _, p := range processes {
		select {
		case <-p.exited:
		default:
			return false
		}
	}
	return true
}

// tellings are the times from the end of each call, as it was stored, until its callers were told.
func tellings(books map[refcache.Ref]*book, a account) (times []time.Duration) {
	for ref, info := range a.infos {
		for _, l := range books[ref].answers {
			if l.Kind == answered && info.CompletedAt != nil {
				times = append(times, l.time().Sub(*info.CompletedAt))
			}
		}
	}
	return times
}
