package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
)

func newInvalidate(a *app) *cobra.Command {
	i := invalidation{app: a}
	cmd := &cobra.Command{
		Use:   "invalidate --tag TAG... | --func FUNC | --whole-namespace",
		Short: "Have results and failures answer no longer",
		Long: `Have what is on record of some calls answer no longer: results, failures, and what
a run under way will come to. The next call runs the function anew, and waits.
Nothing is deleted, and nothing is run.

Only calls of functions with tags look: tags: in config.yaml, or Func.Tags in Go.
With tags: [] they look at invalidations of the function and of the namespace. Who
reads by ref_id does not look.

--whole-namespace asks first.`,
		Example: `  refq invalidate --tag user:7
  refq invalidate --func thumb --dry-run`,
		Args: takes(0, 0, "no arguments beside its flags"),
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&i.tags, "tag", nil, "calls that have this `TAG`; may be given several times")
	flags.StringVar(&i.function, "func", "", "all calls of this `FUNC`, in all versions")
	flags.BoolVar(&i.all, "whole-namespace", false, "all calls of functions with tags in the namespace")
	flags.BoolVar(&i.dryRun, "dry-run", false, "only tell what would be invalidated, and in which queues")
	flags.BoolVar(&i.yes, "yes", false, "do not ask before --whole-namespace")
	return cmd
}

// invalidation is one run of refq invalidate.
type invalidation struct {
	*app
	tags             []string
	function         string
	all, dryRun, yes bool
}

func (i invalidation) run(ctx context.Context) error {
	scopes, err := i.scopes()
	if err != nil {
		return err
	}
	if i.all && !i.dryRun && !i.yes && !i.canAsk() {
		return usagef("invalidate --whole-namespace asks first, and there is no terminal to ask on: add --yes")
	}
	if err := i.load(); err != nil {
		return err
	}
	if err := i.checkCaller(); err != nil {
		return err
	}
	p, operator, end, err := i.newProducerAndAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := i.checkFunction(); err != nil {
		return err
	}
	if i.dryRun {
		sizes, err := operator.Sizes(ctx)
		if err != nil {
			return err
		}
		queues := make([]string, len(sizes))
		for n, size := range sizes {
			queues[n] = size.Queue
		}
		return i.tell("would be invalidated", scopes, queues)
	}
	if i.all && !i.yes {
		yes, err := i.ask(ctx, "Invalidate all of namespace "+i.cfg.Namespace+"?")
		if err != nil {
			return err
		}
		if !yes {
			i.notice("nothing was invalidated")
			return exitStatus(exitOther)
		}
	}
	if err := p.Invalidate(ctx, scopes...); err != nil {
		return err
	}
	return i.tell("invalidated", scopes, nil)
}

// scopes are what the flags name, of one kind.
func (i invalidation) scopes() ([]producer.Scope, error) {
	var scopes []producer.Scope
	kinds := 0
	if len(i.tags) > 0 {
		kinds++
		for _, tag := range i.tags {
			scopes = append(scopes, producer.Tag(tag))
		}
	}
	if i.function != "" {
		kinds++
		scopes = append(scopes, producer.OfFunc(i.function))
	}
	if i.all {
		kinds++
		scopes = append(scopes, producer.OfNamespace())
	}
	if kinds != 1 {
		return nil, usagef("invalidate takes one of --tag, --func and --whole-namespace")
	}
	for _, s := range scopes {
		if err := s.Check(); err != nil {
			return nil, &usageError{err}
		}
	}
	return scopes, nil
}

// checkFunction refuses a function whose calls do not look. Those of a function that config.yaml does not have may look or
// not: that is said.
func (i invalidation) checkFunction() error {
	if i.function == "" {
		return nil
	}
	fn, err := i.cfg.Function(i.function)
	if err != nil {
		i.notice("%s is not in config.yaml: only callers whose declaration has tags will look", i.function)
		return nil
	}
	return fn.CheckTagged()
}

// tell says what was done, or would be; queues are told of what would be.
func (i invalidation) tell(done string, scopes []producer.Scope, queues []string) error {
	if i.asJSON {
		return i.printObject(struct {
			Tags           []string `json:"tags"`
			Func           *string  `json:"func"`
			WholeNamespace bool     `json:"whole_namespace"`
			Namespace      string   `json:"namespace"`
			DryRun         bool     `json:"dry_run"`
			Queues         []string `json:"queues"` // null unless dry_run
		}{i.tags, unlessZero(i.function), i.all, i.cfg.Namespace, i.dryRun, queues})
	}
	texts := make([]string, len(scopes))
	for n, s := range scopes {
		texts[n] = term.Printable(s.String())
	}
	line := fmt.Sprintf("%s in namespace %s: %s", done, i.cfg.Namespace, strings.Join(texts, ", "))
	if i.dryRun {
		line += fmt.Sprintf("; queues: %s", orNone(strings.Join(queues, ", "), len(queues) == 0))
	}
	p := term.Page{Screen: i.stdout}
	p.Line("%s", line)
	return p.Print()
}
