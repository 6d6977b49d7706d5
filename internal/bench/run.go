// Package bench measures what cached calls cost and how fast they are on a given Redis. Callers and workers run in this
// process, with a client each, and so does what they are compared with; what they send is counted where it leaves, what
// Redis does is asked of it before and after. That they share CPUs and garbage collector lowers rates on few CPUs, for
// all sides alike; what is counted is as if they were apart.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Watch is told how a run gets on. Both may be nil.
type Watch struct {
	Round func(done, of int, what string) // what begins now
	Table func(Table) error               // a scenario is over; an error ends the run
}

// Run measures the Redis at url and removes what it wrote there, also when ctx ends or something fails.
func Run(ctx context.Context, url string, o Options, w Watch) error {
	if err := o.Check(); err != nil {
		return err
	}
	s, err := openSite(ctx, url, o)
	if err != nil {
		return err
	}
	r := run{site: s, watch: w}
	for _, sc := range chosen(o) {
		for _, t := range sc.cases(o) {
			r.total += o.Rounds * len(t.sides)
		}
	}
	for _, sc := range chosen(o) {
		table, err := r.scenario(ctx, sc)
		if err == nil && w.Table != nil {
			err = w.Table(table)
		}
		if err != nil {
			return errors.Join(err, s.close())
		}
	}
	return s.close()
}

type run struct {
	*site
	watch       Watch
	done, total int
}

func (r *run) scenario(ctx context.Context, sc scenario) (Table, error) {
	table := Table{Scenario: sc.name, About: sc.about}
	for _, t := range sc.cases(r.options) {
		rounds, err := r.trial(ctx, sc.name, t)
		if err != nil {
			return Table{}, err
		}
		last := len(t.sides) - 1
		for i, side := range t.sides {
			row := Row{Scenario: sc.name, Case: t.name, Side: side.name, Redis: r.version, Options: r.options,
				Figures: spreads(rounds[i])}
			if i < last {
				row.Against, row.Ratios = t.sides[last].name, spreads(ratios(rounds[i], rounds[last]))
			}
			table.Rows = append(table.Rows, row)
		}
	}
	return table, nil
}

// trial plays all rounds. Who begins alternates, so that nobody always has the machine that the other has warmed up.
func (r *run) trial(ctx context.Context, name string, t trial) ([][]reading, error) {
	rounds := make([][]reading, len(t.sides))
	for round := range r.options.Rounds {
		for turn := range t.sides {
			i := turn
			if round%2 == 1 {
				i = len(t.sides) - 1 - turn
			}
			what := strings.Join(strings.Fields(name+" "+t.name+" "+t.sides[i].name), " ")
			if r.watch.Round != nil {
				r.watch.Round(r.done, r.total, what)
			}
			reading, err := r.round(ctx, t.sides[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			rounds[i] = append(rounds[i], reading)
			r.done++
		}
	}
	return rounds, nil
}

func (r *run) round(ctx context.Context, s side) (reading, error) {
	g := r.newGround()
	reading, err := s.run(ctx, g)
	return reading, errors.Join(err, g.close(ctx))
}

var silence = slog.New(slog.DiscardHandler)
