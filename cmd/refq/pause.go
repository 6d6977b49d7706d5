package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

func newPause(a *app) *cobra.Command {
	p := pausing{app: a}
	cmd := &cobra.Command{
		Use:   "pause FUNC | --queue QUEUE | --gate GATE",
		Short: "Have workers start no calls of a function, a queue or a gate",
		Long: `Have workers start no calls of a function, in all versions or in one (FUNC@2), of a
queue, or of a gate or one of its keys. What runs goes on. Calls are accepted and
wait; whoever looks at one reads who has paused it and why. refq resume ends it, and
so does the time of --for.

A queue's pause is that of asynq's web UI. It holds at once, and so does that of a
gate or a key, whose calls wait for their turn. Workers heed a function's within
2 s, in all queues; such as are older than this verb do not.
What is paused already is paused anew.`,
		Example: `  refq pause --queue media --for 1h --reason release
  refq pause geocode@2 --reason "their API is down"
  refq pause --gate maps --key maps.example --for 10m`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.pause(cmd.Context(), args) },
	}
	flags := cmd.Flags()
	p.addTargetFlags(flags)
	durationFlag(flags, &p.terms.For, "for", "how long; without it until refq resume")
	flags.StringVar(&p.terms.Reason, "reason", "", "why: a `TEXT` for who waits")
	return cmd
}

func newResume(a *app) *cobra.Command {
	p := pausing{app: a}
	cmd := &cobra.Command{
		Use:   "resume FUNC | --queue QUEUE | --gate GATE",
		Short: "End what refq pause, or asynq's web UI, has begun",
		Long: `End the pause of a function, a queue, a gate or a key, whoever began it. Calls that waited are
started at once. A function that is paused in one version is resumed in that:
refq resume FUNC@2.`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.resume(cmd.Context(), args) },
	}
	p.addTargetFlags(cmd.Flags())
	return cmd
}

func newPauses(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "pauses",
		Short: "List what is paused, by whom, until when and why",
		Args:  takes(0, 0, "no argument"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.pauses(cmd.Context()) },
	}
}

// pausing is one run of refq pause or refq resume.
type pausing struct {
	*app
	queue, gate, key string
	flags            *pflag.FlagSet
	terms            admin.PauseTerms
}

func (p *pausing) addTargetFlags(flags *pflag.FlagSet) {
	flags.StringVar(&p.queue, "queue", "", "a `QUEUE` in place of a function, or where the gate is")
	flags.StringVar(&p.gate, "gate", "", "a `GATE` in place of a function")
	flags.StringVar(&p.key, "key", "", "one `KEY` of the gate")
	p.flags = flags
}

// target is what the arguments name.
func (p *pausing) target(verb string, args []string) (admin.Target, error) {
	t := admin.Target{Queue: p.queue, Gate: p.gate}
	if p.flags.Changed("key") {
		t.Key = &p.key
	}
	switch {
	case len(args) > 1:
		return t, usagef("%s takes one FUNC, not also %q", verb, args[1])
	case len(args) > 0 && (p.queue != "" || p.gate != ""):
		return t, usagef("%s takes a FUNC, --queue or --gate, not two of them", verb)
	case len(args) > 0:
		t.Func = args[0]
	case p.queue == "" && p.gate == "":
		return t, usagef("%s needs a FUNC, --queue or --gate; see refq %s --help", verb, verb)
	}
	if err := t.Check(); err != nil {
		return t, &usageError{err}
	}
	return t, nil
}

func (p *pausing) pause(ctx context.Context, args []string) error {
	target, err := p.target("pause", args)
	if err != nil {
		return err
	}
	if err := p.terms.Check(); err != nil {
		return &usageError{err}
	}
	operator, end, err := p.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	noted, err := operator.Pause(ctx, target, p.terms)
	if err != nil {
		return err
	}
	if name := p.unknown(target); name != "" {
		p.notice("%s is not in config.yaml: workers that know it heed the pause all the same", name)
	}
	if p.asJSON {
		return p.printObject(noted)
	}
	all := []refcache.Pause{noted}
	if target.Gate != "" && noted.Queue == "" {
		if all, err = operator.Pauses(ctx); err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(other refcache.Pause) bool { return !isOf(target, other) })
	}
	sheet := term.Page{Screen: p.stdout}
	for _, one := range all {
		sheet.Line("%s", term.Printable(one.String()))
	}
	return sheet.Print()
}

// unknown is the name of the function that is meant, if config.yaml does not have it; else empty.
func (p *pausing) unknown(target admin.Target) string {
	name, _, _ := strings.Cut(target.Func, "@")
	if name == "" {
		return ""
	}
	if _, err := p.cfg.Function(name); err == nil {
		return ""
	}
	return name
}

// isOf is whether a pause is one of a target that is a gate, or a key of one.
func isOf(target admin.Target, p refcache.Pause) bool {
	return p.Gate == target.Gate && (target.Key == nil) == (p.Key == nil) && (p.Key == nil || *p.Key == *target.Key)
}

func (p *pausing) resume(ctx context.Context, args []string) error {
	target, err := p.target("resume", args)
	if err != nil {
		return err
	}
	operator, end, err := p.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	was, err := operator.Resume(ctx, target)
	if err != nil {
		return err
	}
	if name := p.unknown(target); name != "" && !was {
		p.notice("%s is not in config.yaml", name)
	}
	left, err := operator.Pauses(ctx)
	if err != nil {
		return err
	}
	for _, other := range left {
		if holdsToo(other, target) {
			p.notice("%s; that ends by %s", term.OneLine(other.String()), resumeCommand(other))
		}
	}
	if p.asJSON {
		return p.printObject(struct {
			Queue   *string `json:"queue"`
			Func    *string `json:"func"`
			Gate    *string `json:"gate"`
			Key     *string `json:"key"`
			Resumed bool    `json:"resumed"` // false: it was not paused
		}{unlessZero(target.Queue), unlessZero(target.Func), unlessZero(target.Gate), target.Key, was})
	}
	sheet := term.Page{Screen: p.stdout}
	if was {
		sheet.Line("%s is resumed", target)
	} else {
		sheet.Line("%s was not paused", target)
	}
	return sheet.Print()
}

// holdsToo is whether a pause holds up what was resumed, or a part of it.
func holdsToo(p refcache.Pause, resumed admin.Target) bool {
	if resumed.Gate != "" {
		return p.Gate == resumed.Gate && (resumed.Queue == "" || resumed.Queue == p.Queue) && (p.Key == nil) != (resumed.Key == nil)
	}
	name, version, _ := strings.Cut(p.Func, "@")
	of, resumedVersion, _ := strings.Cut(resumed.Func, "@")
	return p.Func != "" && name == of && (version == "") != (resumedVersion == "")
}

// resumeCommand is what ends a pause.
func resumeCommand(p refcache.Pause) string {
	switch {
	case p.Func != "":
		return "refq resume " + p.Func
	case p.Gate == "":
		return "refq resume --queue " + p.Queue
	}
	text := "refq resume --gate " + p.Gate + " --queue " + p.Queue
	if p.Key != nil {
		text += " --key " + refcache.QuoteKey(*p.Key)
	}
	return text
}

func (a *app) pauses(ctx context.Context) error {
	operator, end, err := a.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	all, err := operator.Pauses(ctx)
	if failed(err) {
		return err
	}
	if a.asJSON {
		for _, p := range all {
			if err := a.printObject(p); err != nil {
				return err
			}
		}
		return err
	}
	if len(all) == 0 && err == nil {
		a.notice("nothing is paused")
	}
	if len(all) == 0 {
		return err
	}
	return cmp.Or(a.pausesTable(all), err)
}

func (a *app) pausesTable(all []refcache.Pause) error {
	rows := term.Table{}
	rows.Header("PAUSED", "BY", "SINCE", "ENDS", "REASON")
	for _, p := range all {
		since, ends := "unknown", "never"
		if p.At != nil {
			since = term.Ago(*p.At)
		}
		if p.Until != nil {
			ends = term.Ahead(*p.Until)
		}
		by := term.Printable(p.By)
		rows.Add([]string{term.Bold}, term.Printable(p.Target()), orNone(by, by == ""), since, ends, term.Printable(strings.TrimSpace(p.Reason)))
	}
	sheet := term.Page{Screen: a.stdout}
	rows.AddTo(&sheet)
	return sheet.Print()
}
