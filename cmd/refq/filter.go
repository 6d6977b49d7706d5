package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

// filterFlags are the flags that say which calls are meant.
type filterFlags struct {
	function, queue, text string
	since                 time.Duration
}

var filterFlagNames = []string{"func", "queue", "error", "since"}

func addFilterFlags(flags *pflag.FlagSet) *filterFlags {
	var f filterFlags
	flags.StringVar(&f.function, "func", "", "only calls of this function")
	flags.StringVar(&f.queue, "queue", "", "only calls in this queue")
	flags.StringVar(&f.text, "error", "", "only calls whose last error has this text in it")
	durationFlag(flags, &f.since, "since", "only calls of this last while, by the time that ls\ngoes by; 0: all")
	return &f
}

func (f *filterFlags) filter() (admin.Filter, error) {
	if f.function != "" {
		if err := refcache.CheckName(f.function); err != nil {
			return admin.Filter{}, usagef("--func: %w", err)
		}
	}
	if f.queue != "" {
		if err := refcache.CheckQueue(f.queue); err != nil {
			return admin.Filter{}, usagef("--queue: %w", err)
		}
	}
	return admin.Filter{Func: f.function, Queue: f.queue, Error: f.text, Since: f.since}, nil
}
