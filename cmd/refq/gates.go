package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

func newGates(a *app) *cobra.Command {
	l := gateLook{app: a, limit: 50}
	cmd := &cobra.Command{
		Use:   "gates [GATE]",
		Short: "Tell who waits for a turn; set how many calls of a gate may run",
		Long: `Tell how the gates of all queues stand: how many calls run and how many wait for
their turn. With a GATE also its keys: those first that most calls wait for, then
those for which none waits, of the first 1,000 calls that were let in.

"gates set" and "gates reset" change the limits of a gate while workers run.`,
		Example: `  refq gates maps
  refq gates set maps --each 10 --for 1h
  refq gates reset maps`,
		Args: takes(0, 1, "a GATE at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.checkQueue(); err != nil {
				return err
			}
			if len(args) == 0 {
				return l.all(cmd.Context())
			}
			return l.one(cmd.Context(), args[0])
		},
	}
	flags := cmd.Flags()
	l.queueFlag(flags)
	flags.Var(setter{"50", "number", func(value string) (err error) {
		if l.limit, err = strconv.Atoi(value); err != nil || l.limit < 0 {
			return fmt.Errorf("%q is not a whole number, 0 (all) or more", value)
		}
		return nil
	}}, "limit", "how many keys at most; 0: all")
	flags.StringVar(&l.cursor, "cursor", "", "go on behind the keys of the page before, which tells it")
	addVerbs(cmd, "gates", "Verbs:", newGatesSet(a), newGatesReset(a))
	return cmd
}

// gateLook is one run of refq gates.
type gateLook struct {
	*app
	gateQueue
	limit  int
	cursor string
}

// all tells of all gates.
func (l *gateLook) all(ctx context.Context) error {
	if l.cursor != "" {
		return usagef("--cursor is for the keys of a GATE: name it")
	}
	operator, end, err := l.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	gates, err := operator.Gates(ctx, l.queues()...)
	if failed(err) {
		return err
	}
	if l.asJSON {
		for _, g := range gates {
			if err := l.printObject(g); err != nil {
				return err
			}
		}
		return err
	}
	if len(gates) == 0 && err != nil {
		return err
	}
	return cmp.Or(l.printGates(gates), err)
}

func (l *gateLook) printGates(gates []monitor.GateState) error {
	if len(gates) == 0 && l.queue != "" {
		l.notice("queue %s has no gate", l.queue)
		return nil
	}
	if len(gates) == 0 {
		l.notice("no worker has declared a gate, and no call waits for one")
		return nil
	}
	rows := term.Table{}
	rows.Header("GATE", "QUEUE", "RUNNING", "WAITING", "KEYS", "OLDEST", "LIMITS")
	for _, g := range gates {
		rows.Add([]string{term.Bold}, g.Name, g.Queue, ofLimit(g.Running, g.Limit), waitingText(g), count(int64(g.Keys)),
			agedText(g.Waiting, g.Oldest), strings.Join(append(gateTroubles(g), gateLimits(g, g.Limited())...), ", "))
	}
	p := term.Page{Screen: l.stdout}
	rows.AddTo(&p)
	return p.Print()
}

// gateKeysJSON is a gate with a page of its keys.
type gateKeysJSON struct {
	Gate monitor.GateState `json:"gate"`
	Keys []monitor.GateKey `json:"keys"`
	Next *admin.Cursor     `json:"next"` // null: there is no more
}

// one tells of one gate, and of its keys.
func (l *gateLook) one(ctx context.Context, gate string) error {
	operator, end, err := l.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	queue, err := l.find(ctx, operator, gate)
	if err != nil {
		return err
	}
	found, err := l.keys(ctx, operator, queue, gate)
	if errors.Is(err, admin.ErrInvalidCursor) {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	if l.asJSON {
		out := gateKeysJSON{found.Gate, append([]monitor.GateKey{}, found.Keys...), unlessZero(found.Next)}
		return l.printObject(out)
	}
	p := page{term.Page{Screen: l.stdout}}
	p.gate(found.Gate)
	p.gateKeys(found)
	if err := p.Print(); err != nil {
		return err
	}
	if found.Next != "" {
		l.notice("there are more: --cursor %s shows the next, --limit 0 all", found.Next)
	}
	return nil
}

// keys are as many as are wanted.
func (l *gateLook) keys(ctx context.Context, operator *admin.Admin, queue, gate string) (admin.GatePage, error) {
	const most = 500
	if l.limit > 0 {
		return operator.Gate(ctx, queue, gate, admin.Cursor(l.cursor), l.limit)
	}
	all, err := operator.Gate(ctx, queue, gate, admin.Cursor(l.cursor), most)
	for err == nil && all.Next != "" {
		var more admin.GatePage
		more, err = operator.Gate(ctx, queue, gate, all.Next, most)
		all = admin.GatePage{Gate: more.Gate, Keys: append(all.Keys, more.Keys...), Next: more.Next}
	}
	return all, err
}

// gate tells all of a gate but its keys.
func (p *page) gate(g monitor.GateState) {
	p.Line("%s", g.Name)
	p.Field("queue", g.Queue)
	p.Field("limits", strings.Join(gateLimits(g, g.Limits()), "\n"))
	p.Field("running", ofLimit(g.Running, g.Limit))
	waiting := waitingText(g)
	if g.Waiting > 0 {
		waiting += fmt.Sprintf(" for %s, for up to %s", term.Plural(g.Keys, "key", "keys"), term.Short(g.Oldest))
	}
	p.Field("waiting", waiting)
	if troubles := gateTroubles(g); len(troubles) > 0 {
		p.Field("note", strings.Join(troubles, "\n"))
	}
}

func (p *page) gateKeys(found admin.GatePage) {
	if len(found.Keys) == 0 {
		return
	}
	rows := term.Table{}
	rows.Header("KEY", "RUNNING", "WAITING", "OLDEST", "NEXT")
	for _, k := range found.Keys {
		rows.Add([]string{term.Bold}, term.Printable(refcache.QuoteKey(k.Key)), ofLimit(k.Running, found.Gate.Numbers.Each),
			count(int64(k.Waiting)), agedText(k.Waiting, k.Oldest), nextText(found.Gate, k))
	}
	p.Line("")
	rows.AddTo(&p.Page)
}

// ofLimit is "3 of 5", or "3" where there is no limit.
func ofLimit(n, limit int) string {
	if limit == 0 {
		return count(int64(n))
	}
	return fmt.Sprintf("%s of %s", count(int64(n)), count(int64(limit)))
}

func waitingText(g monitor.GateState) string {
	if g.Partial {
		return "at least " + count(int64(g.Waiting))
	}
	return count(int64(g.Waiting))
}

// nextText is what the next call of a key waits for.
func nextText(g monitor.GateState, k monitor.GateKey) string {
	switch {
	case k.Paused != nil:
		return pauseText(*k.Paused)
	case k.Message != "" && k.Reason != refcache.WaitsPaused:
		return term.OneLine(k.Message)
	case k.Waiting == 0 && k.ClosedUntil != nil:
		return "closed until " + clockText(*k.ClosedUntil)
	case k.Reason == refcache.WaitsUnavailable && k.NextStartAt != nil:
		return "closed, one goes alone " + term.Ahead(*k.NextStartAt)
	case k.Reason == refcache.WaitsUnavailable:
		return "closed, one goes alone now"
	case k.NextStartAt != nil:
		return term.Ahead(*k.NextStartAt)
	case k.Reason == refcache.WaitsUndeclared:
		return "when a worker declares the gate"
	case k.Reason == refcache.WaitsPaused:
		return "when the gate is resumed"
	case k.Waiting > 0 && g.HasRoom(k):
		return "now: there is room"
	case k.Waiting > 0:
		return "when another ends"
	}
	return "-"
}
