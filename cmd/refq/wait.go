package main

import (
	"time"

	"github.com/spf13/cobra"
)

func newWait(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wait REF",
		Short: "Wait for the end of a call",
		Long: `Wait for the end of a call, on a terminal with a progress bar. Ctrl-C ends the
waiting, the call goes on.`,
		Args: takes(1, 1, "one REF"),
	}
	var timeout time.Duration
	durationFlag(cmd.Flags(), &timeout, "timeout", "exit with code 3 after so long; 0: never (default 0)")
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
		res, err := a.await(cmd.Context(), p, response{RefID: refs[0]}, timeout)
		return a.conclude(res, err, format)
	}
	return cmd
}
