package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/config"
)

const about = `refq makes cached calls: a call runs once, on some worker, is retried when it
fails, and its result is kept under a ref_id. The same call made again joins the
running one or reads the result.

A first try: "refq init" writes a sample, "refq dev" runs it.`

const usageTemplate = `Usage:
  {{if .Runnable}}{{if .HasParent}}{{.UseLine}}{{else}}refq VERB [flags]{{end}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}{{end}}
{{- range $group := .Groups}}

{{.Title}}{{range $.Commands}}{{if eq .GroupID $group.ID}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableInheritedFlags}}

Flags of all verbs:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}

Durations are 1.5s, 5m, 168h or a number of seconds.
Exit codes: 0 complete or done, 2 wrong usage, 3 in flight, 4 failed,
5 cancelled, 1 anything else.
`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "refq",
		Short:         "Cached calls on Redis: make, run and inspect them",
		Long:          about,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Cobra's own error for an unknown verb has several lines.
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.stderr)
			return errors.Join(cmd.Help(), exitStatus(exitUsage))
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(newHelp())
	a.addGlobalFlags(root)
	addVerbs(root, "start", "Start:", newDemo(a), newInit(a), newDev(a), newWorker(a), newWeb(a))
	addVerbs(root, "calls", "Calls:", newCall(a), newGet(a), newWait(a), newStatus(a), newResult(a), newRetry(a),
		newCancel(a), newDelete(a), newInvalidate(a), newLs(a))
	addVerbs(root, "work", "Work:", newPause(a), newResume(a), newPauses(a))
	addVerbs(root, "about", "What there is:", newDoctor(a), newGates(a), newFunctions(a), newRef(a),
		newConfig(a), newBench(a), newVersion(a))
	return root
}

func addVerbs(root *cobra.Command, id, title string, verbs ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, verb := range verbs {
		verb.GroupID = id
		root.AddCommand(verb)
	}
}

func unknownVerb(root *cobra.Command, name string) error {
	var known []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if near := didYouMean("", name, known); near != "" {
		return usagef("unknown verb %q%s", name, near)
	}
	return usagef("unknown verb %q: use one of %s", name, strings.Join(known, ", "))
}

// didYouMean names the nearest of what is known, in brackets; empty if nothing is near.
func didYouMean(prefix, name string, known []string) string {
	if near := config.Nearest(name, known); near != "" {
		return " (did you mean " + prefix + near + "?)"
	}
	return ""
}

// newHelp replaces cobra's verb, which succeeds for verbs that do not exist.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Show how a verb is used",
		RunE: func(cmd *cobra.Command, args []string) error {
			verb, _, err := cmd.Root().Find(args)
			if err != nil || (len(args) > 0 && verb == cmd.Root()) {
				return unknownVerb(cmd.Root(), args[0])
			}
			verb.InitDefaultHelpFlag()
			return verb.Help()
		},
	}
}

// takes checks the number of arguments; what says which are wanted. A negative most means any number.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s needs %s; see %s --help", cmd.Name(), what, cmd.CommandPath())
		case most >= 0 && len(args) > most:
			return usagef("%s takes %s, not also %q", cmd.Name(), what, args[most])
		}
		return nil
	}
}

// oneOf checks a value that must be one of a few.
func oneOf[S ~string](flag, value string, allowed ...S) (S, error) {
	if slices.Contains(allowed, S(value)) {
		return S(value), nil
	}
	var known []string
	for _, s := range allowed {
		known = append(known, string(s))
	}
	return "", usagef("--%s: %q is not one of %s%s", flag, value, strings.Join(known, ", "), didYouMean("", value, known))
}
