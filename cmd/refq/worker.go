package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/execfunc"
	"github.com/refq/refq/worker"
)

func newWorker(a *app) *cobra.Command {
	var queues, functions []string
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run the exec functions of config.yaml until SIGINT or SIGTERM",
		Long: `Run the functions of config.yaml that have an exec command, until SIGINT or
SIGTERM, or SIGHUP unless it was started with that ignored, as nohup does. Then
attempts may finish within shutdown_timeout; what has not is handed back, which
costs no retry. A second signal ends the worker at once.`,
		Args: takes(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(); err != nil {
				return err
			}
			commands, err := a.commands(queues, functions)
			if err != nil {
				return err
			}
			rdb, err := a.connectPatiently(cmd.Context(), "the worker")
			if err != nil {
				return err
			}
			defer leave(rdb)
			return a.work(cmd.Context(), rdb, commands)
		},
	}
	namesFlag(cmd.Flags(), &queues, "queues", "only functions of these queues, separated by commas")
	namesFlag(cmd.Flags(), &functions, "functions", "only these functions, separated by commas")
	a.metricsFlag(cmd.Flags())
	return cmd
}

var errNoCommands = errors.New("nothing to run: no function has an exec command here (refq init writes a sample)")

// commands returns the functions to run here: those with exec in the queues and of the names asked for, all if none
// are. Their programs exist.
func (a *app) commands(queues, names []string) ([]config.Function, error) {
	if err := a.checkFilters(queues, names); err != nil {
		return nil, err
	}
	var chosen []config.Function
	var others []string
	for _, fn := range a.cfg.Functions {
		switch {
		case len(queues) > 0 && !slices.Contains(queues, queueOf(fn)), len(names) > 0 && !slices.Contains(names, fn.Func.Name):
		case len(fn.Exec) == 0:
			others = append(others, fn.Func.Name)
		default:
			if err := a.command(fn).Check(); err != nil {
				return nil, usagef("function %s: %w", fn.Func.Name, err)
			}
			chosen = append(chosen, fn)
		}
	}
	if len(others) > 0 {
		a.log.Info("functions without exec are left to Go workers", "functions", others)
	}
	switch {
	case len(chosen) > 0:
		return chosen, nil
	case len(queues) > 0 && len(names) > 0 && len(others) == 0:
		return nil, usagef("nothing to run: %s", a.elsewhere(queues, names))
	case len(queues)+len(names) > 0:
		return nil, usagef("nothing to run: none of the chosen functions has an exec command")
	}
	return nil, &usageError{errNoCommands}
}

// elsewhere says in which queues functions are, none of which is in those that were asked for.
func (a *app) elsewhere(queues, names []string) string {
	var there []string
	for _, fn := range a.cfg.Functions {
		if slices.Contains(names, fn.Func.Name) {
			there = append(there, fmt.Sprintf("%s is in queue %s", fn.Func.Name, queueOf(fn)))
		}
	}
	return fmt.Sprintf("none of the chosen functions is in --queues %s: %s", strings.Join(queues, ","), strings.Join(there, ", "))
}

// checkFilters refuses queues and functions that config.yaml does not know.
func (a *app) checkFilters(queues, names []string) error {
	for _, name := range names {
		if _, err := a.cfg.Function(name); err != nil {
			return usagef("--functions: %w", err)
		}
	}
	var known []string
	for _, fn := range a.cfg.Functions {
		known = append(known, queueOf(fn))
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, queue := range queues {
		if !slices.Contains(known, queue) {
			return usagef("--queues: no function is in queue %q%s; there are %s", queue, didYouMean("", queue, known), strings.Join(known, ", "))
		}
	}
	return nil
}

func queueOf(fn config.Function) string {
	policy, _ := fn.Func.Policy() // was checked when it was read
	return policy.Queue
}

func (a *app) command(fn config.Function) execfunc.Command {
	return execfunc.Command{Argv: fn.Exec, Dir: fn.Dir, Env: fn.Env, InheritEnv: fn.InheritEnv,
		PermanentExitCodes: fn.PermanentExitCodes, MaxResult: a.cfg.MaxResult}
}

// connectPatiently is connect for who may start before Redis: only a Redis that refuses is an error.
func (a *app) connectPatiently(ctx context.Context, who string) (redis.UniversalClient, error) {
	rdb, err := refq.Connect(a.cfg.Redis)
	if err != nil {
		return nil, &usageError{err}
	}
	switch err := a.ping(ctx, rdb); {
	case refusesForGood(err):
		return nil, errors.Join(err, rdb.Close())
	case err != nil && ctx.Err() == nil:
		a.notice("%v; %s keeps trying", err, who)
	}
	return rdb, nil
}

// work runs a worker for the functions until ctx ends.
func (a *app) work(ctx context.Context, rdb redis.UniversalClient, functions []config.Function) error {
	l, err := a.listenForMetrics()
	if err != nil {
		return err
	}
	w := worker.New(rdb, worker.Config{Concurrency: a.cfg.Concurrency, ShutdownTimeout: a.cfg.ShutdownTimeout,
		MaxResult: a.cfg.MaxResult, Logger: a.log, Traces: a.traces.Provider()})
	for _, fn := range functions {
		worker.Handle(w, fn.Func, a.command(fn).Run)
	}
	if l != nil {
		defer a.serveMetrics(l, rdb, w)()
	}
	if err := w.Run(ctx); err != nil {
		a.complain(err) // here, since at the end of ctx an error is taken for the interruption itself
		return exitStatus(exitOther)
	}
	return nil
}
