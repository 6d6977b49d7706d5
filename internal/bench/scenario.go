package bench

import (
	"context"
	"slices"
)

// scenario is one question to a Redis. To add one, write a file with such a variable and name it in scenarios.
type scenario struct {
	name  string
	about string
	cases func(o Options) []trial
}

// trial is one case of a scenario: the sides take turns, round by round. All but the last are compared with the last.
type trial struct {
	name  string
	sides []side
}

// side is what is measured, in one round, on a ground of its own.
type side struct {
	name string
	run  func(ctx context.Context, g *ground) (reading, error)
}

// Names of sides.
const (
	refqSide  = "refq"
	asynqSide = "asynq"
)

// scenarios in the order in which they run.
var scenarios = []scenario{idle, closed, open, many, hits, answers, local, retries, growth, idleCost, twoQueues, mixed, gates, waiters, capacity}

// Names lists the scenarios.
func Names() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func chosen(o Options) []scenario {
	if len(o.Only) == 0 {
		return scenarios
	}
	return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return !slices.Contains(o.Only, s.name) })
}

// besides adds bare asynq to a trial, if that was asked for.
func (t trial) besides(o Options, run func(ctx context.Context, g *ground) (reading, error)) trial {
	if o.Baseline == asynqSide {
		t.sides = append(t.sides, side{asynqSide, run})
	}
	return t
}
