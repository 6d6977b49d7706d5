//go:build unix

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

var fullMemory = scenario{
	name: "full", harm: "maxmemory reached for 15 s, 3 times, under load; meanwhile calls are cancelled, and made that are complete",
	must:   "0 lost, 0 retries spent, nobody alive declared dead, cancels and hits as ever, all flowing within 10 s",
	within: [2]time.Duration{3 * time.Minute, 5 * time.Minute},
	run:    fillMemory,
}

// unknown is a function that no worker knows: its calls wait.
var unknown = policy{Function: "unknown"}

// directorsNumbers is where the numbers of the director's own jobs begin.
const directorsNumbers = 90_000_000

func fillMemory(ctx context.Context, s *stage) (r report, err error) {
	calls, err := s.underLoad(ctx, 1500)
	if err != nil {
		return r, err
	}
	known := job{N: directorsNumbers}
	if _, err := producer.Do(ctx, s.producer, s.brief.Policy.function(), known); err != nil {
		return r, err
	}
	var back []time.Duration
	var cancelled, hits int
	lasts := either(s, 8*time.Second, 15*time.Second)
	for i := range either(s, 1, 3) {
		s.pause(ctx, 3*time.Second, 5*time.Second)
		waiting, running, err := s.beforeFull(ctx, directorsNumbers+100*(i+1))
		if err != nil {
			return r, err
		}
		if err := s.client.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
			return r, err
		}
		room := time.After(lasts)
		for _, ref := range append(waiting, running...) {
			if err := s.admin.Cancel(ctx, ref); err != nil {
				return r, fmt.Errorf("cancel a call of a full Redis: %w", err)
			}
			cancelled++
			if err := s.hit(ctx, known); err != nil {
				return r, err
			}
			hits++
		}
		<-room
		if err := s.client.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
			return r, err
		}
		took, err := s.flowing(ctx, time.Now())
		if err != nil {
			return r, err
		}
		back = append(back, took)
	}
	if err := s.showThrough(ctx, &r, fmt.Sprintf("%d times full for %v; ", len(back), lasts), 1, calls); err != nil {
		return r, err
	}
	r.show(true, "%d calls cancelled and %d hits answered meanwhile", cancelled, hits)
	r.showTimes("room again until every process works again", back, s.within(10*time.Second), s.within(10*time.Second))
	return r, nil
}

// beforeFull makes calls that wait, and calls that run for as long as the memory is full, with numbers from first on.
func (s *stage) beforeFull(ctx context.Context, first int) (waiting, running []refcache.Ref, err error) {
	const each = 5
	for n := range each {
		ref, err := producer.Submit(ctx, s.producer, unknown.function(), job{N: first + n})
		if err != nil {
			return nil, nil, err
		}
		waiting = append(waiting, ref)
		if ref, err = producer.Submit(ctx, s.producer, s.brief.Policy.function(), job{N: first + each + n, Millis: 120_000}); err != nil {
			return nil, nil, err
		}
		running = append(running, ref)
	}
	return waiting, running, s.until(ctx, "calls run", func() (bool, error) { return s.all(ctx, running, refcache.Processing) })
}

// hit makes a call that is complete, as a program that has just begun.
func (s *stage) hit(ctx context.Context, known job) error {
	fresh := producer.New(s.client, producer.Config{})
	res, err := producer.Call(ctx, fresh, s.brief.Policy.function(), known)
	if err := fresh.Close(); err != nil {
		return err
	}
	if err != nil || res.Cache != refcache.CacheHit {
		return fmt.Errorf("a call of a full Redis that is complete is a %s: %w", res.Cache, err)
	}
	return nil
}
