package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/monitor"
)

func newDoctor(a *app) *cobra.Command {
	var acl aclOptions
	doctor := &cobra.Command{
		Use:   "doctor",
		Short: "Check Redis, the workers and the waiting calls; say what to do",
		Long: `Check Redis, the workers and the calls that wait in all queues, and say what to
do about what is found. It changes nothing, and looks at the 1,000 oldest and
newest waiting calls of each queue.

  wrong     calls are lost, refused or not run; the exit code is 1
  warning   calls run, but late, or not for certain, or not for ever
  unknown   Redis does not tell, as managed ones do not
  ok

Wrong is: a Redis older than 6.2; maxmemory with a policy that evicts; a Redis
that is full, cannot save, refuses commands, or answers after a second; calls
that wait for a function that no living worker has, or for a gate that no
worker has declared; attempts that no worker takes over; a node that does not
answer.

--print-acl prints the command that gives a user of Redis the least rights that
refq needs, and asks no Redis. --for worker, producer or operator narrows it:
operator is for refq web and all commands but refq worker. The line sets no
password: add one with ACL SETUSER NAME '>PASSWORD', on every node. Without
--print-acl, --for asks whether this user has the rights of that role.`,
		Args: takes(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if acl.print {
				return a.printACL(acl)
			}
			if _, err := oneOf("for", cmp.Or(acl.who, "all"), "all", "worker", "producer", "operator"); err != nil {
				return err
			}
			if cmd.Flags().Changed("user") {
				return usagef("--user goes with --print-acl")
			}
			operator, end, err := a.newAdmin(cmd.Context())
			if err != nil {
				return err
			}
			defer end()
			h, err := operator.HealthFor(cmd.Context(), acl.who)
			if failed(err) {
				return err
			}
			if h.Blind == "" {
				h.Other = a.strangeArgs(cmd.Context(), operator)
			}
			if err := a.printHealth(h); err != nil {
				return err
			}
			if err != nil {
				return err
			}
			if h.Wrong() {
				return exitStatus(exitOther)
			}
			return nil
		},
	}
	acl.flags(doctor)
	return doctor
}

// strangeArgs are findings about members that args: adds and no living worker knows.
func (a *app) strangeArgs(ctx context.Context, operator *admin.Admin) (found []monitor.Finding) {
	for _, fn := range a.cfg.Functions {
		policy, err := fn.Func.Policy()
		if err != nil || fn.Args == nil {
			continue
		}
		all, err := operator.Declarations(ctx, policy)
		if err != nil || len(all) == 0 {
			continue // which other findings tell
		}
		for _, name := range slices.Sorted(maps.Keys(codec.TopLevel(fn.Args))) {
			if !isDeclared(all, name) {
				found = append(found, monitor.Finding{ID: "args", Level: monitor.LevelWarning,
					Fact:   fmt.Sprintf("args: of %s adds member %q, which no living worker knows: its calls are handed on, and fail after 10 min", policy.Name, name),
					Remedy: "take it out of config.yaml, or roll out workers that know it"})
			}
		}
	}
	return found
}

func (a *app) printHealth(h monitor.Health) error {
	if a.asJSON {
		return a.printObject(h)
	}
	out := page{term.Page{Screen: a.stdout}}
	for _, f := range h.Findings() {
		out.finding(f)
	}
	if len(h.Workers) > 0 {
		out.Line("")
		out.workers(h.Workers)
	}
	return out.Print()
}

var levelColours = map[monitor.Level]string{monitor.LevelOK: term.Green, monitor.LevelUnknown: term.Faint,
	monitor.LevelWarning: term.Yellow, monitor.LevelWrong: term.Red}

// finding is a line, and below it what to do. On a terminal, both go on at the same column of further lines.
func (p *page) finding(f monitor.Finding) {
	const level, id = 9, 16
	p.Line("%s%s%s", p.Paint(levelColours[f.Level], fmt.Sprintf("%-*s", level, f.Level)), p.Paint(term.Bold, fmt.Sprintf("%-*s", id, f.ID)),
		p.hanging(level+id, term.Printable(f.Fact)))
	if f.Remedy != "" {
		p.Line("%*s%s %s", level, "", p.Paint(term.Blue, "→"), p.hanging(level+2, term.Printable(f.Remedy)))
	}
}

// hanging breaks a text between words where a line of the terminal ends.
func (p *page) hanging(indent int, text string) string {
	return strings.Join(term.Wrap(text, p.Screen.Width()-indent), "\n"+strings.Repeat(" ", indent))
}

// workers lists workers: who runs what, and since when.
func (p *page) workers(workers []monitor.WorkerHealth) {
	rows := term.Table{}
	rows.Header("WORKER", "STATE", "STARTED", "RUNNING", "QUEUES", "FUNCTIONS")
	for _, w := range workers {
		state, colour := "alive", term.Green
		if !w.Alive {
			state, colour = "silent for "+term.Short(w.Silent.Truncate(time.Second)), term.Red
		}
		started := "unknown"
		if w.Since != nil {
			started = term.Ago(*w.Since)
		}
		rows.Add([]string{term.Bold, colour, term.Faint}, term.Printable(w.ID), state, started, fmt.Sprint(w.Running),
			term.Printable(someOf(w.Queues)), term.Printable(someOf(slices.Sorted(slices.Values(w.Functions)))))
	}
	rows.AddTo(&p.Page)
}

// someOf lists the first few names, and tells how many more there are.
func someOf(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
