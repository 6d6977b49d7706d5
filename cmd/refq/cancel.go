package main

import (
	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

func newCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel REF...",
		Short: "Call off calls in flight, at once",
		Long: `Call off calls in flight, at once. A running attempt is told to stop; whatever it
still returns is dropped. A refresh that is cancelled leaves the old result.`,
		Args: takes(1, -1, "one REF or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onEach(cmd.Context(), args, func(operator *admin.Admin, ref refcache.Ref) error {
				if err := operator.Cancel(cmd.Context(), ref); err != nil {
					return err
				}
				if now, err := operator.Task(cmd.Context(), ref); err == nil && now.Status == refcache.Complete {
					a.notice("refresh cancelled, value kept")
					return a.answer(response{RefID: ref, Status: refcache.Complete, IsComplete: true, IsStale: true}, refcache.Minimal)
				}
				return a.answer(response{RefID: ref, Status: refcache.Cancelled}, refcache.Minimal)
			})
		},
	}
}
