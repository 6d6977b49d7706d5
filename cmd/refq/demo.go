package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/demo"
)

func newDemo(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "demo [FILE…]",
		Short: "Show what refq does, all in this process, in half a minute",
		Long: `Show what refq does: cached calls on files of yours (default README.md), retries,
progress, and a service that is down. Redis, worker and producer are all in this
process; nothing is configured, nothing is left behind.`,
		Args: takes(0, -1, "files to count"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := demo.Tell(cmd.Context(), a.stdout, args)
			if wrong, ok := errors.AsType[*demo.FileError](err); ok {
				return &usageError{wrong}
			}
			return err
		},
	}
}
