//go:build unix

package main

import (
	"context"
	"sync"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

var poisoning = scenario{
	name: "poison", harm: "a call that kills its worker each time",
	must:   "failed with cause lost after 3 redeliveries; other calls unharmed",
	within: [2]time.Duration{100 * time.Second, 3 * time.Minute},
	run:    poison,
}

func poison(ctx context.Context, s *stage) (r report, err error) {
	workers, err := s.startWorkers(ctx, 3)
	if err != nil {
		return r, err
	}
	ended := s.replaceDead(ctx, workers)
	calls, err := s.startProducer(load{Callers: 50, PerSecond: 8, Least: 50, Most: 500})
	if err != nil {
		return r, err
	}
	var poisons []refcache.Ref
	for i := range either(s, 1, 3) {
		ref, err := producer.Submit(ctx, s.producer, s.brief.Policy.function(), job{N: -1 - i, Kills: true})
		if err != nil {
			return r, err
		}
		poisons = append(poisons, ref)
	}
	fell := 0
	for _, ref := range poisons {
		info, _, err := s.outcome(ctx, ref)
		if err != nil {
			return r, err
		}
		if info.Status == refcache.Failed && info.LostCount == refcache.MaxLost+1 && info.RetryCount == 0 &&
			info.RetryHistory[len(info.RetryHistory)-1].Cause == refcache.CauseLost {
			fell++
		}
	}
	deaths := ended()
	books, a, err := s.settle(ctx, calls)
	if err != nil {
		return r, err
	}
	executions := 0
	for _, ref := range poisons {
		executions += count(books[ref].works, started)
	}
	r.showAccount(a)
	// One that was claimed beside another may have died before it began.
	r.show(fell == len(poisons) && executions <= len(poisons)*(refcache.MaxLost+1),
		"%d of %d poisonous calls failed as lost, after %d executions", fell, len(poisons), executions)
	r.show(a.failed == fell && deaths > 0, "%d workers died, %d other calls were hit and none failed", deaths, others(a, poisons))
	return r, nil
}

// others counts the calls that were lost in company.
func others(a account, poisons []refcache.Ref) (n int) {
	for _, info := range a.infos {
		if info.LostCount > 0 {
			n++
		}
	}
	return n - len(poisons)
}

// replaceDead starts a worker for each that dies, until the function that it returns is called: that tells how many died.
func (s *stage) replaceDead(ctx context.Context, workers []*process) func() int {
	ctx, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	var mu sync.Mutex
	deaths := 0
	var watch func(*process)
	watch = func(p *process) {
		select {
		case <-p.exited:
		case <-ctx.Done():
			return
		}
		mu.Lock()
		defer mu.Unlock()
		p.doomed = true
		deaths++
		if next, err := s.startWorker(ctx); err == nil {
			watchers.Go(func() { watch(next) })
		}
	}
	for _, w := range workers {
		watchers.Go(func() { watch(w) })
	}
	return func() int {
		stop()
		watchers.Wait()
		return deaths
	}
}
