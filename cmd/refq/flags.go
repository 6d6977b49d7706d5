package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

// addGlobalFlags declares the flags of all verbs.
func (a *app) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	a.configFlag(flags, "redis", "url", "Redis: redis://, redis-sentinel:// or redis-cluster://,\nrediss:// and rediss-cluster:// with TLS")
	a.configFlag(flags, "namespace", "name", "whose calls (default default); '*': all, but not to call")
	a.configFlag(flags, "config", "file", "configuration (default ./config.yaml, if there is one)")
	a.configFlag(flags, "log-level", "level", "debug, info, warn or error")
	a.configFlag(flags, "log-format", "format", "text or json")
	flags.VarP(setter{"text", "format", func(format string) error {
		a.asJSON = format == "json"
		if format != "json" && format != "text" {
			return fmt.Errorf("%q is not text or json", format)
		}
		return nil
	}}, "output", "o", "text, for people, or json, one object per line")
}

// configFlag declares a flag that stands for a key of the configuration.
func (a *app) configFlag(flags *pflag.FlagSet, name, kind, help string) {
	flags.Var(setter{"", kind, func(value string) error {
		a.flags[name] = value
		return nil
	}}, name, help)
}

// durationFlag declares a flag for a duration.
func durationFlag(flags *pflag.FlagSet, to *time.Duration, name, help string) {
	flags.Var(setter{"", "duration", func(value string) (err error) {
		*to, err = config.ParseDuration(value)
		return err
	}}, name, help)
}

// namesFlag declares a flag for names that are separated by commas; it may be given again for more. An empty text, as of a variable that
// is not set, would stand for all of them, and is refused.
func namesFlag(flags *pflag.FlagSet, to *[]string, name, help string) {
	flags.Var(setter{"", "names", func(value string) error {
		if value == "" {
			return errors.New("name one at least, or leave the flag out for all")
		}
		*to = append(*to, strings.Split(value, ",")...)
		return nil
	}}, name, help)
}

// setter is a flag whose value is taken over as soon as it is read.
type setter struct {
	def  string
	kind string // what help calls the value
	set  func(string) error
}

func (s setter) String() string     { return s.def }
func (s setter) Set(v string) error { return s.set(v) }
func (s setter) Type() string       { return s.kind }

// flagError makes one sentence of what pflag says.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return usagef("%s has no flag -%s; write -- before arguments that begin with -", cmd.Name(), name)
		}
		return usagef("%s has no flag --%s%s", cmd.Name(), name, didYouMean("--", name, flagNames(cmd)))
	case errors.As(err, &invalid):
		return usagef("--%s: %w", invalid.GetFlag().Name, errors.Unwrap(invalid))
	}
	return &usageError{err}
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// checkCaller refuses to make calls in all namespaces at once.
func (a *app) checkCaller() error {
	if a.cfg.Namespace == refcache.AllNamespaces {
		return usagef("namespace '*' (from %s) only looks: name the one to call in", a.cfg.Source("namespace"))
	}
	return nil
}
