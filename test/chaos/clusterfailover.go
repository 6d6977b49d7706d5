//go:build unix

package main

import (
	"context"
	"slices"
	"time"
)

var clusterFailovers = scenario{
	name: "cluster-failover", harm: "CLUSTER FAILOVER in a 3+3 Cluster, 10 times, under load",
	must:   "0 refused, slowest call <= 1 s",
	within: [2]time.Duration{3 * time.Minute, 6 * time.Minute},
	run:    failOverMasters,
	stage:  newClusterStage,
}

// brisk are calls of which none takes long by itself.
var brisk = load{PerSecond: 4, Least: 10, Most: 100}

func failOverMasters(ctx context.Context, s *stage) (r report, err error) {
	calls, err := s.underLoadEverywhere(ctx, brisk)
	if err != nil {
		return r, err
	}
	during := span{from: time.Now()}
	var own []time.Duration
	for i := range either(s, 3, 10) {
		// In a round all masters are replaced, in two all nodes elected. Redis elects none again within four node timeouts.
		s.pause(ctx, 2500*time.Millisecond, 3500*time.Millisecond)
		took, err := s.switchOver(ctx, i%masters)
		if err != nil {
			return r, err
		}
		own = append(own, took)
	}
	s.pause(ctx, time.Second, 2*time.Second)
	during.till = time.Now()
	books, a, err := s.settle(ctx, calls...)
	if err != nil {
		return r, err
	}
	asks, err := s.asks()
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(a.lost == 0 && a.retries == 0, "%d failovers, for which Redis took at most %s; %d attempts lost, %d cut short, %d retries spent",
		len(own), round(slices.Max(own)), a.lost, cutShort(books), a.retries)
	s.showSmooth(&r, asks, during)
	return r, nil
}

// switchOver has the replica of the n-th part of the slots take its master's place, as that master agrees to. It answers how long
// Redis took for that: nobody could write meanwhile.
func (s *stage) switchOver(ctx context.Context, n int) (took time.Duration, err error) {
	_, replica, err := s.cluster.pair(ctx, n)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := s.cluster.clients[replica].ClusterFailover(ctx).Err(); err != nil {
		return 0, err
	}
	err = s.until(ctx, "the replica is promoted", func() (bool, error) {
		role, err := s.cluster.role(ctx, replica)
		return role == "master", err
	})
	if err != nil {
		return 0, err
	}
	return time.Since(began), s.untilWhole(ctx)
}
