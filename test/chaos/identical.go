//go:build unix

package main

import (
	"context"
	"sync"
	"time"
)

var identical = scenario{
	name: "identical", harm: "1,000 identical calls from 10 processes, 200 rounds, with kills",
	must:   "one stored outcome per round, all callers the same answer",
	within: [2]time.Duration{2 * time.Minute, 12 * time.Minute},
	run:    callIdentically,
}

func callIdentically(ctx context.Context, s *stage) (r report, err error) {
	if _, err := s.startWorkers(ctx, 3); err != nil {
		return r, err
	}
	rounds := either(s, 30, 200)
	var producers []*process
	for range 10 {
		p, err := s.startProducer(load{Calls: rounds, Callers: 100, Least: 100, Most: 300, Same: true})
		if err != nil {
			return r, err
		}
		producers = append(producers, p)
	}
	kills, err := s.killUntilDone(ctx, producers)
	if err != nil {
		return r, err
	}
	books, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	answers := 0
	for _, b := range books {
		answers += count(b.answers, answered)
	}
	r.showAccount(a)
	r.show(a.calls == rounds && answers == 1000*rounds, "%d rounds, %d callers answered, %d workers killed", a.calls, answers, kills)
	r.show(a.retries == 0, "%d attempts lost, %d retries spent", a.lost, a.retries)
	return r, nil
}

// killUntilDone kills a worker every few seconds until the producers have ended.
func (s *stage) killUntilDone(ctx context.Context, producers []*process) (kills int, err error) {
	done := make(chan error, len(producers))
	for _, p := range producers {
		go func() { done <- p.end(time.Hour) }()
	}
	dying, stop := context.WithCancel(ctx)
	defer stop()
	var killer sync.WaitGroup
	var killing error
	killer.Go(func() {
		s.pause(dying, time.Second, 2*time.Second)
		for {
			if _, err := s.killOne(dying); err != nil {
				if dying.Err() == nil {
					killing = err
				}
				return
			}
			kills++
			if _, killing = s.startWorker(ctx); killing != nil {
				return
			}
			// A kill costs its round some 6 s, and then several rounds shall pass
			// unharmed: killed again at once, the rounds would hardly ever end.
			s.pause(dying, 9*time.Second, 16*time.Second)
		}
	})
	for range producers {
		select {
		case err = <-done:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			break
		}
	}
	stop()
	killer.Wait()
	if err == nil {
		err = killing
	}
	return kills, err
}
