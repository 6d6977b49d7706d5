package main

import (
	"github.com/spf13/cobra"

	"github.com/refq/refq/refcache"
)

func newGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get REF...",
		Short: "Show how calls stand now, with their results",
		Args:  takes(1, -1, "one REF or more"),
	}
	format := formatFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		format, err := format()
		if err != nil {
			return err
		}
		refs, err := parseRefs(args)
		if err != nil {
			return err
		}
		p, end, err := a.newProducer(cmd.Context())
		if err != nil {
			return err
		}
		defer end()
		return a.forEach(cmd.Context(), refs, func(ref refcache.Ref) error {
			res, err := p.Get(cmd.Context(), ref)
			if err != nil {
				return err
			}
			if err := a.answer(res, format); err != nil {
				return err
			}
			return exitBy(res.Status)
		})
	}
	return cmd
}
