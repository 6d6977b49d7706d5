package main

import (
	"github.com/spf13/cobra"

	"github.com/refq/refq/refcache"
)

func newCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel REF...",
		Short: "Call off calls in flight, at once",
		Long: `Call off calls in flight, at once. A running attempt is told to stop; whatever it
still returns is dropped.`,
		Args: takes(1, -1, "one REF or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
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
				if err := p.Cancel(cmd.Context(), ref); err != nil {
					return err
				}
				return a.answer(response{RefID: ref, Status: refcache.Cancelled}, refcache.Minimal)
			})
		},
	}
}
