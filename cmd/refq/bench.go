package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/bench"
	"github.com/refq/refq/internal/term"
)

func newBench(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what calls cost on your Redis, and how fast they are",
		Long: `Measure what calls cost on the Redis that is configured, and how fast they are:
` + strings.Join(term.Wrap(strings.Join(bench.Names(), ", ")+".", 79), "\n") + `
Callers and workers run in this process and share its CPUs. Nothing of yours is
touched, and what is written is removed; still, the Redis must be empty, unless
--anyway is given: a benchmark takes all that a server has.`,
		Example: `  refq bench --only closed,idle --rounds 3
  refq bench --baseline asynq --callers 64,256 -o json > figures.json`,
		Args: takes(0, 0, "no argument"),
	}
	o, quick := bench.Defaults, false
	flags := cmd.Flags()
	benchFlags(flags, &o)
	flags.BoolVar(&quick, "quick", false, "20 s, with sizes of its own; fails if a counted figure is too high")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if quick {
			if given := notBesideQuick(flags); given != "" {
				return usagef("--quick has sizes of its own: leave out --%s", given)
			}
			anyway := o.Anyway
			o = bench.Quick
			o.Anyway = anyway
		}
		if err := o.Check(); err != nil {
			return &usageError{err}
		}
		return a.bench(cmd.Context(), o, quick)
	}
	return cmd
}

func benchFlags(flags *pflag.FlagSet, o *bench.Options) {
	numberFlag(flags, &o.Calls, "calls", "calls of a round")
	flags.Var(setter{"64", "numbers", func(value string) (err error) {
		o.Callers, err = numbers(value)
		return err
	}}, "callers", "how many wait at once, as 64,256 for two cases")
	numberFlag(flags, &o.Concurrency, "concurrency", "functions that run at once")
	numberFlag(flags, &o.Payload, "payload", "bytes of a call's arguments and of its result")
	durationFlag(flags, &o.Delay, "delay", "hold back all that Redis answers, as a slow network would")
	flags.StringVar(&o.Baseline, "baseline", "", "compare with tasks of bare `asynq`")
	numberFlag(flags, &o.Rounds, "rounds", "rounds of each side, taking turns")
	flags.Var(setter{"all", "names", func(value string) error {
		o.Only = strings.Split(value, ",")
		for _, name := range o.Only {
			if _, err := oneOf("only", name, bench.Names()...); err != nil {
				return errors.New(strings.TrimPrefix(err.Error(), "--only: "))
			}
		}
		return nil
	}}, "only", "these scenarios alone, as closed,idle")
	numberFlag(flags, &o.Stored, "stored", "growth: results that are there already")
	numberFlag(flags, &o.Pending, "pending", "growth, gates: calls of others that are there already")
	flags.BoolVar(&o.Anyway, "anyway", false, "measure although the Redis holds other data")
}

func numberFlag(flags *pflag.FlagSet, to *int, name, help string) {
	flags.Var(setter{strconv.Itoa(*to), "number", func(value string) error {
		n, err := numbers(value)
		if err != nil || len(n) != 1 {
			return fmt.Errorf("%q is not a whole number", value)
		}
		*to = n[0]
		return nil
	}}, name, help)
}

// numbers reads whole numbers between commas.
func numbers(text string) ([]int, error) {
	var all []int
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", word)
		}
		all = append(all, n)
	}
	return all, nil
}

// besideQuick are the flags that may stand beside --quick.
var besideQuick = []string{"quick", "anyway", "output", "redis", "config", "log-level", "log-format"}

// notBesideQuick names a flag that was given and is not one of them.
func notBesideQuick(flags *pflag.FlagSet) (name string) {
	flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains(besideQuick, f.Name) {
			name = f.Name
		}
	})
	return name
}

func (a *app) bench(ctx context.Context, o bench.Options, quick bool) error {
	rdb, err := a.connect(ctx) // it says best what is wrong with a Redis
	if err != nil {
		return err
	}
	if err := rdb.Close(); err != nil {
		return err
	}
	progress := benchProgress{screen: a.stderr}
	var tables []bench.Table
	err = bench.Run(ctx, a.cfg.Redis, o, bench.Watch{Round: progress.round, Table: func(t bench.Table) error {
		tables = append(tables, t)
		progress.clear()
		if a.asJSON {
			return a.printRows(t)
		}
		return a.printBench(t, o, len(tables) == 1)
	}})
	progress.clear()
	switch {
	case errors.Is(err, bench.ErrNotEmpty):
		return fmt.Errorf("%w: %s; name an empty one with --redis, or measure all the same with --anyway",
			err, refq.RedactURL(a.cfg.Redis))
	case err != nil:
		return err
	case quick:
		return a.withinLimits(tables)
	case !a.asJSON:
		return a.printLegend()
	}
	return nil
}

func (a *app) printRows(t bench.Table) error {
	for _, row := range t.Rows {
		if err := a.printObject(row); err != nil {
			return err
		}
	}
	return nil
}

// withinLimits fails when counted figures are higher than they may be.
func (a *app) withinLimits(tables []bench.Table) error {
	if texts := bench.Exceeded(tables); len(texts) > 0 {
		return errors.New(strings.Join(texts, "\n"))
	}
	if a.asJSON {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, "All counted figures are within their limits.")
	return err
}

// benchProgress shows on a terminal which round is being played.
type benchProgress struct {
	screen *term.Screen
	what   atomic.Pointer[string]
	bars   *mpb.Progress // nil: nothing is shown
	bar    *mpb.Bar
}

func (p *benchProgress) round(done, of int, what string) {
	if !p.screen.Terminal {
		return
	}
	p.what.Store(&what)
	if p.bars == nil {
		p.bars = mpb.New(mpb.WithOutput(p.screen.To), mpb.WithRefreshRate(200*time.Millisecond))
		detail := decor.Any(func(s decor.Statistics) string {
			return term.Cut(fmt.Sprintf(" round %d of %d: %s", s.Current+1, s.Total, *p.what.Load()), s.AvailableWidth-barWidth-2)
		})
		p.bar = p.bars.New(int64(of), mpb.BarStyle(), mpb.BarWidth(barWidth), mpb.BarFillerTrim(), mpb.AppendDecorators(detail))
	}
	p.bar.SetCurrent(int64(done))
}

// clear takes the bar from the screen, so that something else may be printed.
func (p *benchProgress) clear() {
	if p.bars != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		p.bars = nil
	}
}
