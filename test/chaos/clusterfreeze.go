//go:build unix

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/refq/refq/refcache"
)

var clusterFreezing = scenario{
	name: "cluster-freeze", harm: "SIGSTOP of a master of a 3+3 Cluster for 20 s, 3 times, under load",
	must:   "healthy queues: longest silence at most 2 s more than without, 0 attempts lost there; the shard's own at most 12 s",
	within: [2]time.Duration{4 * time.Minute, 10 * time.Minute},
	run:    freezeMasters,
	stage:  newClusterStage,
}

const frozenFor = 20 * time.Second

func freezeMasters(ctx context.Context, s *stage) (r report, err error) {
	calls, err := s.underLoadEverywhere(ctx, load{PerSecond: 3, Least: 50, Most: 800})
	if err != nil {
		return r, err
	}
	var quiet, frozen []span
	for n := range either(s, 1, masters) {
		before := span{from: time.Now()}
		if err := wait(ctx, either(s, frozenFor/4, frozenFor)); err != nil {
			return r, err
		}
		before.till = time.Now()
		f, err := s.freezeMaster(ctx, n)
		if err != nil {
			return r, err
		}
		quiet, frozen = append(quiet, before), append(frozen, f)
	}
	books, a, err := s.settleAfter(ctx, frozen, calls)
	if err != nil {
		return r, err
	}
	s.showFailovers(&r, books, a)
	s.showSilences(&r, a, quiet, frozen)
	return r, nil
}

// freezeMaster stops the master of the n-th part of the slots for a while. It returns from when till when writes may have got
// lost: a master that goes on takes some before it hears that it is none any more.
func (s *stage) freezeMaster(ctx context.Context, n int) (frozen span, err error) {
	master, _, err := s.cluster.pair(ctx, n)
	if err != nil {
		return span{}, err
	}
	frozen = span{from: time.Now(), queues: s.cluster.queuesOf(n)}
	if err := errors.Join(master.Signal("STOP"), wait(ctx, frozenFor), master.Signal("CONT")); err != nil {
		return span{}, err
	}
	if err := errors.Join(s.untilWhole(ctx), s.flowingEverywhere(ctx, time.Now())); err != nil {
		return span{}, err
	}
	frozen.till = time.Now()
	return frozen, nil
}

// showSilences adds how long nothing ended in queues while a master stood still, and before.
func (s *stage) showSilences(r *report, a account, quiet, frozen []span) {
	var before, healthy, own time.Duration
	for _, queue := range s.cluster.queues {
		ends := endsIn(a, queue)
		for i, f := range frozen {
			before = max(before, longestSilence(ends, quiet[i]))
			if slices.Contains(f.queues, queue) {
				own = max(own, longestSilence(ends, f))
			} else {
				healthy = max(healthy, longestSilence(ends, f))
			}
		}
	}
	lost := lostElsewhere(a, frozen)
	r.show(len(frozen) > 0 && healthy <= before+s.within(2*time.Second) && lost == 0,
		"healthy queues: longest silence %s, %s without; %d attempts lost there", round(healthy), round(before), lost)
	r.show(own <= either(s, frozenFor-2*time.Second, 12*time.Second), "the shard's own: longest silence %s", round(own))
}

// lostElsewhere counts the attempts that were lost in the spans, in queues that had no part in them.
func lostElsewhere(a account, spans []span) (n int) {
	for ref, info := range a.infos {
		for _, attempt := range info.RetryHistory {
			for _, s := range spans {
				at := attempt.Timestamp
				if attempt.Cause == refcache.CauseLost && !s.in(queueOf(ref)) && at.After(s.from) && at.Before(s.till) {
					n++
				}
			}
		}
	}
	return n
}
