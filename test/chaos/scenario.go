//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// scenario is one kind of harm, and what must be true all the same.
type scenario struct {
	name, harm, must string
	policy           policy
	within           [2]time.Duration // how long the short and the full form may take
	run              func(context.Context, *stage) (report, error)
	stage            func(dir string, t terms, p policy) (*stage, error) // nil: newStage
}

// scenarios in the order of the table.
var scenarios = []scenario{
	killing, poisoning, freezing, outages, failovers, cuts, cancelling, failures, identical, rolling, turns, rates, ratesRestarted, tenants,
	clusterKilling, clusterFreezing, clusterFailovers, clusterResharding, demotions, fullMemory, mixing, soaking,
}

// play plays the scenario in a folder of its own, which is kept when it goes wrong.
func (s scenario) play(ctx context.Context, t terms) (p performance) {
	p = performance{scenario: s}
	began := time.Now()
	defer func() { p.took = time.Since(began) }()
	within := s.within[0]
	if t.full {
		within = s.within[1]
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not done within %v", within))
	defer cancel()
	if p.dir, p.err = os.MkdirTemp("", "refq-chaos-"+s.name+"-"); p.err != nil {
		return p
	}
	build := s.stage
	if build == nil {
		build = newStage
	}
	var on *stage
	if on, p.err = build(p.dir, t, s.policy); p.err != nil {
		return p
	}
	p.report, p.err = s.run(ctx, on)
	p.err = errors.Join(p.err, on.close(), on.panics())
	if p.failure() == nil {
		_ = os.RemoveAll(p.dir) // nothing in it is wanted
	}
	return p
}
