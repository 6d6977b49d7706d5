//go:build unix

package main

import (
	"context"
	"time"
)

var clusterKilling = scenario{
	name: "cluster-kill", harm: "kill -9 of a master of a 3+3 Cluster, 5 times, under load",
	must:   "0 lost but for writes not replicated, counted; kill to the next end in its queues p50 <= 8 s, most 12 s",
	within: [2]time.Duration{4 * time.Minute, 10 * time.Minute},
	run:    killMasters,
	stage:  newClusterStage,
}

func killMasters(ctx context.Context, s *stage) (r report, err error) {
	calls, err := s.underLoadEverywhere(ctx, load{PerSecond: 3, Least: 50, Most: 800})
	if err != nil {
		return r, err
	}
	var kills []span
	for range either(s, 1, 5) {
		s.pause(ctx, 3*time.Second, 5*time.Second)
		k, err := s.killMaster(ctx, s.random.IntN(masters))
		if err != nil {
			return r, err
		}
		kills = append(kills, k)
	}
	books, a, err := s.settleAfter(ctx, kills, calls)
	if err != nil {
		return r, err
	}
	s.showFailovers(&r, books, a)
	r.showTimes("kill to the next end in its queues", nextEnds(a, kills), s.within(8*time.Second), s.within(12*time.Second))
	return r, nil
}

// killMaster kills the master of the n-th part of the slots, and starts it again when its replica has its place and calls are
// answered everywhere. It returns from when till when writes may have got lost.
func (s *stage) killMaster(ctx context.Context, n int) (lossy span, err error) {
	c := s.cluster
	master, replica, err := c.pair(ctx, n)
	if err != nil {
		return span{}, err
	}
	lossy = span{from: time.Now(), queues: c.queuesOf(n)}
	if err := master.Kill(); err != nil {
		return span{}, err
	}
	err = s.until(ctx, "the replica is promoted", func() (bool, error) {
		role, err := c.role(ctx, replica)
		return role == "master", err
	})
	if err != nil {
		return span{}, err
	}
	if err := s.flowingEverywhere(ctx, time.Now()); err != nil {
		return span{}, err
	}
	lossy.till = time.Now()
	if err := master.Restart(); err != nil {
		return span{}, err
	}
	return lossy, s.untilWhole(ctx)
}

// nextEnds are the times from the beginning of each span to the next end in each of its queues.
func nextEnds(a account, spans []span) (times []time.Duration) {
	for _, s := range spans {
		for _, queue := range s.queues {
			for _, end := range endsIn(a, queue) {
				if end.After(s.from) {
					times = append(times, end.Sub(s.from))
					break
				}
			}
		}
	}
	return times
}
