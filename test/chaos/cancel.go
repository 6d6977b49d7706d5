//go:build unix

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

var cancelling = scenario{
	name: "cancel", harm: "1,000 cancels across all states",
	must:   "0 runs after, p99 end of context <= 150 ms",
	policy: policy{RetryDelay: 20 * time.Second, MaxRetries: 3},
	within: [2]time.Duration{2 * time.Minute, 6 * time.Minute},
	run:    cancelCalls,
}

// cancelled is a call that was cancelled, and how it stood.
type cancelled struct {
	ref      refcache.Ref
	from     refcache.Status
	at, done time.Time // when it was asked for, and when that had been answered
}

// underWay is how long before a cancel an attempt may have been claimed that began after it.
const underWay = 100 * time.Millisecond

func cancelCalls(ctx context.Context, s *stage) (r report, err error) {
	if _, err := s.startWorkers(ctx, 2); err != nil {
		return r, err
	}
	var all []cancelled
	for round := range either(s, 3, 20) {
		some, err := s.cancelRound(ctx, round)
		if err != nil {
			return r, err
		}
		all = append(all, some...)
	}
	// Whatever the cancelled calls might still do, such as the retries that were scheduled, would happen by now.
	time.Sleep(s.brief.Policy.RetryDelay + 5*time.Second)
	books, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	runs, ends := 0, []time.Duration(nil)
	states := map[refcache.Status]int{}
	for _, c := range all {
		states[c.from]++
		b := books[c.ref]
		if b == nil {
			continue // it never started
		}
		if !b.startAfter(c.done.Add(underWay), 0).IsZero() {
			runs++
		}
		for _, l := range b.works {
			if l.Kind == stopped {
				ends = append(ends, l.time().Sub(c.at))
			}
		}
	}
	r.show(runs == 0, "%d cancelled: %d pending, %d retrying, %d processing; %d ran after", len(all),
		states[refcache.Pending], states[refcache.Retrying], states[refcache.Processing], runs)
	r.showTimes("cancel to end of context", ends, s.within(150*time.Millisecond), s.within(150*time.Millisecond))
	return r, nil
}

// cancelRound makes 15 calls that wait for a retry, fills all slots with calls that run, makes 15 calls that wait for a
// slot, and cancels them all in an order of chance, but the running ones last: they keep the others waiting.
func (s *stage) cancelRound(ctx context.Context, round int) (all []cancelled, err error) {
	next := round * 1000
	submit := func(n int, j job, want refcache.Status) ([]refcache.Ref, error) {
		var refs []refcache.Ref
		for range n {
			next++
			j.N = next
			ref, err := producer.Submit(ctx, s.producer, s.brief.Policy.function(), j)
			if err != nil {
				return nil, err
			}
			refs = append(refs, ref)
		}
		return refs, s.until(ctx, fmt.Sprintf("%d calls are %s", n, want), func() (bool, error) { return s.all(ctx, refs, want) })
	}
	retrying, err := submit(15, job{Fails: 3}, refcache.Retrying)
	if err != nil {
		return nil, err
	}
	processing, err := submit(2*s.brief.Concurrency, job{Millis: 60_000}, refcache.Processing)
	if err != nil {
		return nil, err
	}
	pending, err := submit(15, job{}, refcache.Pending)
	if err != nil {
		return nil, err
	}
	waiting := slices.Concat(retrying, pending)
	s.random.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
	for _, ref := range append(waiting, processing...) {
		c, err := s.cancel(ctx, ref)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
		s.pause(ctx, 0, 10*time.Millisecond)
	}
	return all, nil
}

func (s *stage) cancel(ctx context.Context, ref refcache.Ref) (cancelled, error) {
	info, err := s.producer.Info(ctx, ref)
	if err != nil {
		return cancelled{}, err
	}
	c := cancelled{ref: ref, from: info.Status, at: time.Now()}
	err = s.admin.Cancel(ctx, ref)
	c.done = time.Now()
	return c, err
}

// all reports whether all of the calls are in a status.
func (s *stage) all(ctx context.Context, refs []refcache.Ref, want refcache.Status) (bool, error) {
	for _, ref := range refs {
		if info, err := s.producer.Info(ctx, ref); err != nil || info.Status != want {
			return false, err
		}
	}
	return true, nil
}
