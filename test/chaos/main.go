//go:build unix

// Command chaos proves what refq promises by breaking things: it starts a real Redis, workers and producers on the
// loopback interface, does them harm, and accounts for every call at the end. It is not part of the released binary.
//
//	go run ./test/chaos          every scenario in its short form
//	go run ./test/chaos -full    in the long form
//	go run ./test/chaos kill     one scenario
//	go run ./test/chaos -plain   over connections that scripts do not share
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := direct
	if role := os.Getenv(roleVariable); role != "" {
		run = func(ctx context.Context, _ []string, _ io.Writer) error { return play(ctx, role) }
	}
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// terms are what holds for all scenarios of a run.
type terms struct {
	full  bool
	plain bool // scripts do not share a connection
	seed  uint64
}

// url is how processes come to a Redis.
func (t terms) url(addr string) string {
	if t.plain {
		return "redis://" + addr + "?pipeline=off"
	}
	return "redis://" + addr
}

// options are what the command line says.
type options struct {
	terms
	parallel int
	document string // file to put the table into; empty: none
	chosen   []scenario
}

func parse(args []string) (options, error) {
	o := options{chosen: scenarios}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.BoolVar(&o.full, "full", false, "the long form of each scenario, one after the other")
	flags.BoolVar(&o.plain, "plain", false, "scripts do not share a connection (pipeline=off)")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "what the run's chance is made from")
	flags.IntVar(&o.parallel, "parallel", 3, "how many scenarios play at a time; with -full it is 1")
	flags.StringVar(&o.document, "document", "", "put the table into this file as well")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.full {
		o.parallel = 1
	}
	if flags.NArg() > 0 {
		o.chosen = nil
	}
	for _, name := range flags.Args() {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return o, fmt.Errorf("no scenario %q: there are %s", name, strings.Join(names(), ", "))
		}
		o.chosen = append(o.chosen, scenarios[i])
	}
	return o, nil
}

func names() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// direct plays the scenarios and prints what they showed, as the table of docs/reliability.md.
func direct(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	redis.SetLogger(silence{})
	fmt.Fprintf(out, "seed %d\n", o.seed)
	played := make([]performance, len(o.chosen))
	places := make(chan struct{}, o.parallel)
	var all sync.WaitGroup
	for i, s := range o.chosen {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			played[i] = s.play(ctx, o.terms)
			fmt.Fprintln(out, played[i].line())
		})
	}
	all.Wait()
	printTable(out, played)
	if o.document != "" {
		err = writeInto(ctx, o.document, o, played)
	}
	for _, p := range played {
		err = errors.Join(err, p.failure())
	}
	return err
}

// silence takes what go-redis would print of outages that are made on purpose.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// performance is how a scenario went.
type performance struct {
	scenario
	report report
	err    error
	took   time.Duration
	dir    string // with its journals and logs, if it went wrong
}

func (p performance) failure() error {
	switch {
	case p.err != nil:
		return fmt.Errorf("%s: %w; its logs are in %s", p.name, p.err, p.dir)
	case !p.report.ok():
		return fmt.Errorf("%s: not as it must be; its logs are in %s", p.name, p.dir)
	}
	return nil
}

func (p performance) line() string {
	word := "ok  "
	if p.failure() != nil {
		word = "FAIL"
	}
	return fmt.Sprintf("%s %-16s %4.0f s", word, p.name, p.took.Seconds())
}

func printTable(out io.Writer, played []performance) {
	fmt.Fprint(out, "\n| scenario | must show | shown |\n|---|---|---|\n")
	for _, p := range played {
		var shown []string
		for _, f := range p.report.figures {
			text := f.text
			if !f.ok {
				text = "**" + text + "**"
			}
			shown = append(shown, text)
		}
		if p.err != nil {
			shown = append(shown, "**"+strings.ReplaceAll(p.err.Error(), "\n", "; ")+"**")
		}
		fmt.Fprintf(out, "| %s: %s | %s | %s |\n", p.name, p.harm, p.must, strings.Join(shown, "; "))
	}
	fmt.Fprintln(out)
}
