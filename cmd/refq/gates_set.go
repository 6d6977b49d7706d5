package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

func newGatesSet(a *app) *cobra.Command {
	s := gateSetting{app: a}
	cmd := &cobra.Command{
		Use:   "set GATE",
		Short: "Give a gate limits in place of those that its workers declare",
		Long: `Give a gate limits in place of those that its workers declare, for a time or until
"refq gates reset". What is left out is as declared, also what was set before. 0
is no limit. Calls that may start then do so at once; lower limits stop nothing
that runs.`,
		Example: `  refq gates set maps --each 10 --for 1h
  refq gates set maps --all slots --rate 50/s --burst 5`,
		Args: takes(1, 1, "one GATE"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args[0]) },
	}
	flags := cmd.Flags()
	s.queueFlag(flags)
	whole := func(to **int, name, help string) {
		flags.Var(setter{"", "number", func(value string) error {
			n, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("%q is not a whole number", value)
			}
			*to = &n
			return nil
		}}, name, help)
	}
	whole(&s.set.Each, "each", "calls of a key at the same time")
	flags.Var(setter{"", "number", func(value string) error {
		all, err := config.ParseAll(value)
		s.set.All = &all
		return err
	}}, "all", "calls of all keys at the same time, or slots: what living\nworkers can run, and a quarter more")
	flags.Var(setter{"", "rate", func(value string) error {
		rate, err := config.ParseRate(value)
		s.set.Rate = &rate
		return err
	}}, "rate", "starts of a key, like 50/s, 100/m or 5/10s")
	whole(&s.burst, "burst", "starts that may come together (default what 10 ms bring)")
	whole(&s.set.MostWaiting, "most-waiting", "calls of a key that may wait")
	durationFlag(flags, &s.lasts, "for", "how long (default until it is reset)")
	return cmd
}

func newGatesReset(a *app) *cobra.Command {
	s := gateSetting{app: a}
	cmd := &cobra.Command{
		Use:   "reset GATE",
		Short: "Have a gate go by what its workers declare",
		Args:  takes(1, 1, "one GATE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.change(cmd.Context(), args[0], func(operator *admin.Admin, queue string) error {
				return operator.ResetGate(cmd.Context(), queue, args[0])
			})
		},
	}
	s.queueFlag(cmd.Flags())
	return cmd
}

// gateSetting is one run of refq gates set or reset.
type gateSetting struct {
	*app
	gateQueue
	set   monitor.GateSetting
	burst *int
	lasts time.Duration
}

func (s *gateSetting) run(ctx context.Context, gate string) error {
	if s.burst != nil {
		if s.set.Rate == nil {
			s.set.Rate = &refcache.Rate{}
		}
		s.set.Rate.Burst = *s.burst
	}
	return s.change(ctx, gate, func(operator *admin.Admin, queue string) error {
		return operator.SetGate(ctx, queue, gate, s.set, s.lasts)
	})
}

// change does something to a gate, and tells how it stands then.
func (s *gateSetting) change(ctx context.Context, gate string, do func(operator *admin.Admin, queue string) error) error {
	if err := s.checkQueue(); err != nil {
		return err
	}
	operator, end, err := s.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	queue, err := s.find(ctx, operator, gate)
	if err != nil {
		return err
	}
	if err := do(operator, queue); errors.Is(err, admin.ErrInvalidSetting) {
		return &usageError{err}
	} else if err != nil {
		return err
	}
	found, err := operator.Gate(ctx, queue, gate, "", 1)
	switch {
	case err != nil:
		return err
	case s.asJSON:
		return s.printObject(found.Gate)
	}
	p := page{term.Page{Screen: s.stdout}}
	p.gate(found.Gate)
	return p.Print()
}

// gateQueue is the queue of a gate, if it is said.
type gateQueue struct{ queue string }

func (q *gateQueue) queueFlag(flags *pflag.FlagSet) {
	flags.StringVar(&q.queue, "queue", "", "the gate's queue, where several queues have one of that name")
}

func (q *gateQueue) checkQueue() error {
	if q.queue == "" {
		return nil
	}
	if err := refcache.CheckQueue(q.queue); err != nil {
		return usagef("--queue: %w", err)
	}
	return nil
}

// queues are those that are meant; none: all.
func (q *gateQueue) queues() []string {
	if q.queue == "" {
		return nil
	}
	return []string{q.queue}
}

// find is the queue of a gate.
func (q *gateQueue) find(ctx context.Context, operator *admin.Admin, gate string) (string, error) {
	if q.queue != "" {
		return q.queue, nil
	}
	gates, err := operator.Gates(ctx)
	if err != nil {
		return "", err
	}
	var queues, known []string
	for _, g := range gates {
		known = append(known, g.Name)
		if g.Name == gate {
			queues = append(queues, g.Queue)
		}
	}
	switch len(queues) {
	case 0:
		return "", unknownGate(gate, known)
	case 1:
		return queues[0], nil
	}
	return "", usagef("gate %s is one of queues %s: name one by --queue", gate, strings.Join(queues, ", "))
}

// unknownGate names the gates that there are.
func unknownGate(gate string, known []string) error {
	switch near := didYouMean("", gate, known); {
	case len(known) == 0:
		return fmt.Errorf("%w: %.130q: there is none: no worker has declared one, and no call waits for one", admin.ErrNoGate, gate)
	case near != "":
		return fmt.Errorf("%w: %.130q%s", admin.ErrNoGate, gate, near)
	}
	const most = 20
	more := ""
	if len(known) > most {
		known, more = known[:most], fmt.Sprintf(" and %d more", len(known)-most)
	}
	return fmt.Errorf("%w: %.130q: there are %s%s", admin.ErrNoGate, gate, strings.Join(known, ", "), more)
}
