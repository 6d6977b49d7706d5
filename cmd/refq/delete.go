package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

func newDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "delete REF...",
		Short: "Remove calls that have ended, with results and history",
		Args:  takes(1, -1, "one REF or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onEach(cmd.Context(), args, func(operator *admin.Admin, ref refcache.Ref) error {
				if err := operator.Delete(cmd.Context(), ref); err != nil {
					return err
				}
				return a.deleted(ref)
			})
		},
	}
}

func (a *app) deleted(ref refcache.Ref) error {
	if a.asJSON {
		return a.printObject(struct {
			RefID   refcache.Ref `json:"ref_id"`
			Deleted bool         `json:"deleted"`
		}{ref, true})
	}
	_, err := fmt.Fprintf(a.stdout, "%-10s  %s\n", "deleted", ref)
	return err
}
