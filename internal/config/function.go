package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

// Func is a declaration whose arguments and results stay JSON.
type Func = refcache.Func[json.RawMessage, json.RawMessage]

// Policies are those of the functions.
func (c Config) Policies() []refcache.Policy {
	var all []refcache.Policy
	for _, f := range c.Functions {
		if p, err := f.Func.Policy(); err == nil { // as [Function] says
			all = append(all, p)
		}
	}
	return all
}

// FuncOf is a declaration that has this policy.
func FuncOf(p refcache.Policy) Func {
	return Func{Name: p.Name, Version: p.Version, Queue: p.Queue, Timeout: orNone(p.Timeout), AsyncTimeout: orNone(p.AsyncTimeout),
		TTL: p.TTL, Fresh: p.Fresh, FailureTTL: p.FailureTTL, Retry: refcache.RetryPolicy{MaxRetries: orNone(p.MaxRetries),
			Delay: orNone(p.RetryDelay), BackoffFactor: p.BackoffFactor, MaxDelay: orNone(p.RetryMaxDelay),
			Jitter: orNone(p.RetryJitter), Backoff: p.Backoff}, Gate: p.Gate}
}

// orNone is how a Func says a value of a Policy, where 0 is none.
func orNone[T int | float64 | time.Duration](v T) T {
	if v == 0 {
		return none
	}
	return v
}

func duration(name string, field func(*Func) *time.Duration) key[Func] {
	return key[Func]{name, wantDuration, func(f *Func, s string) bool { return setDuration(field(f), s) }}
}

// policyKeys may stand in an entry of functions: and in defaults:. Limits that are not checked here, Func.Policy checks.
var policyKeys = []key[Func]{
	{"queue", "a name", func(f *Func, s string) bool { f.Queue = s; return s != "" }},
	duration("timeout", func(f *Func) *time.Duration { return &f.Timeout }),
	duration("async_timeout", func(f *Func) *time.Duration { return &f.AsyncTimeout }),
	duration("ttl", func(f *Func) *time.Duration { return &f.TTL }),
	duration("fresh", func(f *Func) *time.Duration { return &f.Fresh }),
	duration("failure_ttl", func(f *Func) *time.Duration { return &f.FailureTTL }),
	{failureAnswer, wantFailureAnswer, func(f *Func, s string) bool {
		ok := setDuration(&f.FailureAnswer.Error, s)
		f.FailureAnswer.Timeout, f.FailureAnswer.Panic = f.FailureAnswer.Error, f.FailureAnswer.Error
		return ok
	}},
	{"max_retries", "a whole number, 0 (none) or more", func(f *Func, s string) bool {
		ok := setWhole(&f.Retry.MaxRetries, s, 0)
		f.Retry.MaxRetries = cmp.Or(f.Retry.MaxRetries, refcache.NoRetries)
		return ok
	}},
	duration("retry_delay", func(f *Func) *time.Duration { return &f.Retry.Delay }),
	{"retry_backoff_factor", "a number, at least 1", func(f *Func, s string) bool {
		return setNumber(&f.Retry.BackoffFactor, s, 1, largest)
	}},
	duration("retry_max_delay", func(f *Func) *time.Duration { return &f.Retry.MaxDelay }),
	{"retry_jitter", "a number from 0 (none) to 1", func(f *Func, s string) bool {
		ok := setNumber(&f.Retry.Jitter, s, 0, 1)
		f.Retry.Jitter = cmp.Or(f.Retry.Jitter, none)
		return ok
	}},
	{"backoff", "a name", func(f *Func, s string) bool { f.Retry.Backoff = s; return s != "" }},
}

const (
	failureAnswer     = "failure_answer"
	wantFailureAnswer = "a duration like 1m, 0 (none), or one for each of error, permanent, timeout, panic, lost"
)

// failureKeys may stand in failure_answer, which is a duration for error, timeout and panic otherwise.
var failureKeys = []key[Func]{
	duration("error", func(f *Func) *time.Duration { return &f.FailureAnswer.Error }),
	duration("permanent", func(f *Func) *time.Duration { return &f.FailureAnswer.Permanent }),
	duration("timeout", func(f *Func) *time.Duration { return &f.FailureAnswer.Timeout }),
	duration("panic", func(f *Func) *time.Duration { return &f.FailureAnswer.Panic }),
	duration("lost", func(f *Func) *time.Duration { return &f.FailureAnswer.Lost }),
}

var versionKey = key[Func]{"version", "a whole number, at least 1", func(f *Func, s string) bool { return setWhole(&f.Version, s, 1) }}

// SetPolicy sets one policy key of f (timeout, max_retries …) to what the text means in config.yaml; 0 is none there.
// f must be valid, and is unchanged on an error, which begins with the key and says what to write.
func SetPolicy(f *Func, name, text string) error {
	i := slices.IndexFunc(policyKeys, func(k key[Func]) bool { return k.name == name })
	if i < 0 {
		return fmt.Errorf("%s is no policy key, must be one of %s", plain(name), strings.Join(names(policyKeys), ", "))
	}
	changed := *f
	if err := setPolicy(&changed, policyKeys[i], text); err != nil {
		return err
	}
	*f = changed
	return nil
}

// setPolicy has Policy check the key alone, so that what it refuses is the key just set. What keys mean together is
// checked when all are there.
func setPolicy(f *Func, k key[Func], text string) error {
	if err := k.apply(f, k.name, text); err != nil {
		return err
	}
	alone := Func{Name: "alone", TTL: refcache.MaxDelay, Retry: refcache.RetryPolicy{Delay: none}} // longer, shorter than all
	_ = k.apply(&alone, k.name, text)
	return checked(alone)
}

// checked is what is wrong with a policy, without the name of the function, which is known from where its keys stand.
func checked(f Func) error {
	if _, err := f.Policy(); err != nil {
		return cmp.Or(errors.Unwrap(err), err)
	}
	return nil
}

func names[T any](keys []key[T]) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.name
	}
	return list
}

// inherit fills in what f leaves open.
func inherit(f, from Func) Func {
	f.Queue = cmp.Or(f.Queue, from.Queue)
	f.Timeout = cmp.Or(f.Timeout, from.Timeout)
	f.AsyncTimeout = cmp.Or(f.AsyncTimeout, from.AsyncTimeout)
	f.TTL = cmp.Or(f.TTL, from.TTL)
	if f.Fresh == 0 {
		f.Fresh = min(from.Fresh, cmp.Or(f.TTL, refcache.Defaults.TTL)) // none lives longer
	}
	f.FailureTTL = cmp.Or(f.FailureTTL, from.FailureTTL)
	answer := &f.FailureAnswer
	answer.Error = cmp.Or(answer.Error, from.FailureAnswer.Error)
	answer.Permanent = cmp.Or(answer.Permanent, from.FailureAnswer.Permanent)
	answer.Timeout = cmp.Or(answer.Timeout, from.FailureAnswer.Timeout)
	answer.Panic = cmp.Or(answer.Panic, from.FailureAnswer.Panic)
	answer.Lost = cmp.Or(answer.Lost, from.FailureAnswer.Lost)
	f.Retry.MaxRetries = cmp.Or(f.Retry.MaxRetries, from.Retry.MaxRetries)
	f.Retry.Delay = cmp.Or(f.Retry.Delay, from.Retry.Delay)
	f.Retry.BackoffFactor = cmp.Or(f.Retry.BackoffFactor, from.Retry.BackoffFactor)
	f.Retry.MaxDelay = cmp.Or(f.Retry.MaxDelay, from.Retry.MaxDelay)
	f.Retry.Jitter = cmp.Or(f.Retry.Jitter, from.Retry.Jitter)
	f.Retry.Backoff = cmp.Or(f.Retry.Backoff, from.Retry.Backoff)
	return f
}
