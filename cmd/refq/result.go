package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/refq/refq/refcache"
)

func newResult(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "result REF",
		Short: "Print the bare result of a call",
		Long: `Print the bare result of a call, which is JSON, and nothing else. Without a
result the exit code tells why.`,
		Args: takes(1, 1, "one REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := parseRefs(args)
			if err != nil {
				return err
			}
			return a.result(cmd.Context(), refs[0])
		},
	}
}

func (a *app) result(ctx context.Context, ref refcache.Ref) error {
	p, end, err := a.newProducer(ctx)
	if err != nil {
		return err
	}
	defer end()
	res, err := p.Get(ctx, ref)
	if err != nil {
		return err
	}
	if res.HasValue {
		if err := a.printJSON(res.Value); err != nil {
			return err
		}
	}
	switch {
	case res.HasValue && res.Status.InFlight():
		a.notice("this is the old result, the call runs again; wait for the new one with: refq wait %s", ref)
	case res.Status.InFlight():
		a.notice("no result yet, the call is %s; wait for it with: refq wait %s", res.Status, ref)
	case res.Status == refcache.Failed:
		a.complain(fmt.Errorf("no result, the call failed: %s", firstLine(res.Error)))
	case res.Status == refcache.Cancelled:
		a.notice("no result, the call was cancelled")
	}
	return exitBy(res.Status)
}
