package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func newRef(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ref FUNC [JSON | - | @FILE]",
		Short: "Tell the ref_id and the arguments of a call, without making it",
		Long: `Tell the ref_id of a call, and its arguments as the function would get them. It
calls nothing. Living workers are asked what they declare: a member that none of
them knows, and one that callers in Go always write and these arguments lack, make
this call another one than is meant.`,
		Example: `  refq ref thumb '{"page":3}'`,
		Args:    takes(1, 2, "a FUNC and its arguments as one JSON text"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ref(cmd.Context(), args)
		},
	}
}

func (a *app) ref(ctx context.Context, args []string) error {
	if err := a.load(); err != nil {
		return err
	}
	fn, _, err := a.plannedFunction(args[0], callPlan{})
	if err != nil {
		return err
	}
	in, err := a.arguments(fn, args[1:])
	if err != nil {
		return err
	}
	ref, err := producer.RefOf(a.cfg.Namespace, fn.Func, in)
	if err != nil {
		return err
	}
	canonical, err := codec.Canonical(in)
	if err != nil {
		return err
	}
	if err := a.printRef(ref, codec.Plain(canonical)); err != nil {
		return err
	}
	for _, warning := range a.strangeMembers(ctx, fn, canonical) {
		a.notice("%s", warning)
	}
	return nil
}

func (a *app) printRef(ref refcache.Ref, args json.RawMessage) error {
	if a.asJSON {
		return a.printObject(struct {
			RefID refcache.Ref    `json:"ref_id"`
			Args  json.RawMessage `json:"args"`
		}{ref, args})
	}
	p := page{term.Page{Screen: a.stdout}}
	p.Line("%s", ref)
	p.Field("args", string(term.PrintableJSON(args)))
	return p.Print()
}

// strangeMembers tells what living workers would say of arguments; or why they could not be asked.
func (a *app) strangeMembers(ctx context.Context, fn config.Function, args []byte) []string {
	operator, end, err := a.newAdmin(ctx)
	if err != nil {
		return []string{fmt.Sprintf("what workers declare is not known: %v", err)}
	}
	defer end()
	policy, _ := fn.Func.Policy() // checked by plannedFunction
	all, err := operator.Declarations(ctx, policy)
	switch {
	case err != nil:
		return []string{fmt.Sprintf("what workers declare is not known: %v", err)}
	case len(all) == 0:
		return []string{fmt.Sprintf("no living worker declares %s@%d", policy.Name, policy.Version)}
	}
	names := codec.TopLevel(args)
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !isDeclared(all, name) {
			warnings = append(warnings, fmt.Sprintf("no living worker knows member %q of %s", name, policy.Name))
		}
	}
	last := all[len(all)-1].Members
	for _, name := range slices.Sorted(maps.Keys(last)) {
		if last[name] && !names[name] {
			warnings = append(warnings, fmt.Sprintf("callers in Go always write member %q of %s: theirs is another call; args: in config.yaml adds it", name, policy.Name))
		}
	}
	return warnings
}

// isDeclared reports whether some worker takes a member of that name.
func isDeclared(all []admin.Declaration, name string) bool {
	return slices.ContainsFunc(all, func(d admin.Declaration) bool { return d.Takes(name) })
}
