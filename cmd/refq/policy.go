package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

// policyFlags are flags that stand for policy keys of config.yaml, as they were given: values by flag.
type policyFlags map[string]string

func (p policyFlags) addTo(flags *pflag.FlagSet) {
	for _, f := range []struct{ name, kind, help string }{
		{"max-retries", "number", "attempts after the first one"},
		{"retry-delay", "duration", "before the first retry"},
		{"retry-backoff-factor", "number", "each further delay is so many times longer"},
		{"timeout", "duration", "limit of one attempt; 0: none"},
		{"ttl", "duration", "how long the result is kept"},
	} {
		flags.Var(setter{"", f.kind, func(value string) error {
			p[f.name] = value
			return nil
		}}, f.name, f.help)
	}
}

// apply changes a declaration, and returns its policy. The error is one of usage.
func (p policyFlags) apply(f *config.Func) (refcache.Policy, error) {
	for _, flag := range p.given() {
		key := strings.ReplaceAll(flag, "-", "_")
		if err := config.SetPolicy(f, key, p[flag]); err != nil {
			return refcache.Policy{}, usagef("--%s%s", flag, strings.TrimPrefix(err.Error(), key))
		}
	}
	policy, err := f.Policy()
	if err != nil {
		return policy, &usageError{err}
	}
	return policy, nil
}

// given are the flags that were given, in order.
func (p policyFlags) given() []string { return slices.Sorted(maps.Keys(p)) }

// freshBudget are the options of a retry with a fresh budget under the policies of config.yaml.
func (a *app) freshBudget() []admin.RetryOption {
	options := []admin.RetryOption{admin.FreshBudget()}
	for _, p := range a.cfg.Policies() {
		options = append(options, admin.Under(p))
	}
	return options
}

// today is the policy that a retry with a fresh budget has a call run under.
func (a *app) today(known admin.Policies) refcache.Policy {
	for _, p := range a.cfg.Policies() {
		if p.Name == known.Stored.Name && p.Version == known.Stored.Version {
			return p
		}
	}
	return *cmp.Or(known.Declared, &known.Stored)
}

// differences are the words of today's policy that differ from those on record.
func differences(stored, today refcache.Policy) string {
	var words []string
	differ := func(name, was, is string) {
		if was != is {
			words = append(words, name+" "+is+" (on record "+was+")")
		}
	}
	differ("max_retries", fmt.Sprint(stored.MaxRetries), fmt.Sprint(today.MaxRetries))
	differ("retry_delay", lasting(stored.RetryDelay), lasting(today.RetryDelay))
	differ("retry_backoff_factor", fmt.Sprint(stored.BackoffFactor), fmt.Sprint(today.BackoffFactor))
	differ("retry_max_delay", lasting(stored.RetryMaxDelay), lasting(today.RetryMaxDelay))
	differ("retry_jitter", fmt.Sprint(stored.RetryJitter), fmt.Sprint(today.RetryJitter))
	differ("backoff", orNone(stored.Backoff, stored.Backoff == ""), orNone(today.Backoff, today.Backoff == ""))
	differ("timeout", lasting(stored.Timeout), lasting(today.Timeout))
	differ("ttl", lasting(stored.TTL), lasting(today.TTL))
	differ("failure_ttl", lasting(stored.FailureTTL), lasting(today.FailureTTL))
	return strings.Join(words, "; ")
}
