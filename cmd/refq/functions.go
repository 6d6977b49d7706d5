package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

func newFunctions(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "functions [FUNC]",
		Short: "List the functions of config.yaml with their policy; --stats: how calls were answered",
		Long: `List the functions of config.yaml with their policy, or tell all that it says of one.

--stats shows instead how the calls of all functions were answered in the last
hour: by what was stored (hit), by an old result (stale), by a run that another
call had started (joined), by a run of their own (miss). It shows how often a
result was run again (refreshed), how often in vain (in vain), and how long the
runs took that hits saved.`,
		Args: takes(0, 1, "a FUNC at most"),
	}
	stats := cmd.Flags().Bool("stats", false, "how calls were answered in the last hour")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *stats && len(args) > 0 {
			return usagef("--stats is about all functions: leave %s out", args[0])
		}
		if *stats {
			return a.functionStats(cmd.Context())
		}
		if err := a.load(); err != nil {
			return err
		}
		if len(args) > 0 {
			fn, err := a.cfg.Function(args[0])
			if err != nil {
				return &usageError{err}
			}
			a.cfg.Functions = []config.Function{fn}
		}
		switch {
		case a.asJSON:
			return a.functionsJSON()
		case len(args) > 0:
			return a.function(a.cfg.Functions[0])
		}
		return a.functions()
	}
	return cmd
}

func (a *app) functions() error {
	if len(a.cfg.Functions) == 0 {
		a.notice("no functions are declared: refq init writes a config.yaml with one")
		return nil
	}
	rows := term.Table{}
	rows.Header("FUNCTION", "QUEUE", "TIMEOUT", "WAIT", "TTL", "RETRIES", "RUNS")
	for _, fn := range a.cfg.Functions {
		policy, err := fn.Func.Policy()
		if err != nil {
			return &usageError{err}
		}
		name := policy.Name
		if policy.Version > 1 {
			name += fmt.Sprintf("@%d", policy.Version)
		}
		rows.Add([]string{term.Bold}, name, policy.Queue, lasting(policy.Timeout),
			lasting(policy.AsyncTimeout), term.Exact(policy.TTL), retriesText(policy), runsText(fn))
	}
	p := term.Page{Screen: a.stdout}
	rows.AddTo(&p)
	return p.Print()
}

// function tells all that config.yaml says of a function.
func (a *app) function(fn config.Function) error {
	policy, err := fn.Func.Policy()
	if err != nil {
		return &usageError{err}
	}
	p := page{term.Page{Screen: a.stdout}}
	p.Line("%s", policy.Name)
	p.Field("version", fmt.Sprint(policy.Version))
	p.Field("queue", policy.Queue)
	p.Field("runs", runsText(fn))
	p.Field("timeout", lasting(policy.Timeout))
	p.Field("wait", lasting(policy.AsyncTimeout))
	p.Field("retries", retriesText(policy))
	p.Field("ttl", term.Exact(policy.TTL))
	p.Field("fresh", term.Exact(cmp.Or(policy.Fresh, policy.TTL)))
	p.Field("failures", "kept for "+term.Exact(policy.FailureTTL)+", answer for "+failureText(policy.FailureAnswer))
	if key := fn.Func.KeyFields; len(key) > 0 {
		p.Field("key", term.Printable(strings.Join(key, " "))+", other arguments: "+string(cmp.Or(fn.Func.KeyConflict, refcache.KeyJoin)))
	}
	if fn.Args != nil {
		p.Field("args", string(term.PrintableJSON(fn.Args)))
	}
	if fn.Tags != nil {
		p.Field("tags", orNone(term.Printable(strings.Join(fn.Tags, " ")), len(fn.Tags) == 0))
	}
	if gate := policy.Gate; gate.Name != "" {
		p.Field("gate", gateText(gate))
		p.Field("turn", turnText(fn.Func.TurnFields))
	}
	return p.Print()
}

// lasting tells a duration exactly, and that 0 is none.
func lasting(d time.Duration) string { return orNone(term.Exact(d), d == 0) }

// failureText is "1m; permanent 1h, lost 10m": kinds that answer for as long as an error are not named.
func failureText(answers refcache.FailureAnswer) string {
	var others []string
	for _, kind := range refcache.FailureKinds {
		if d := answers.Of(kind); d != answers.Error {
			others = append(others, string(kind)+" "+lasting(d))
		}
	}
	if len(others) == 0 {
		return lasting(answers.Error)
	}
	return lasting(answers.Error) + "; " + strings.Join(others, ", ")
}

func runsText(fn config.Function) string {
	if len(fn.Exec) == 0 {
		return "by Go workers"
	}
	return term.Printable(strings.Join(fn.Exec, " "))
}

func orNone(text string, none bool) string {
	if none {
		return "none"
	}
	return text
}

// retriesText is "3: 1s, 2s, 4s", without jitter.
func retriesText(p refcache.Policy) string {
	const most = 3
	if p.MaxRetries == 0 {
		return "none"
	}
	if p.Backoff != "" {
		return fmt.Sprintf("%d: by %s", p.MaxRetries, p.Backoff)
	}
	var delays []string
	for n := range min(p.MaxRetries, most) {
		delays = append(delays, term.Exact(p.Delay(n, 0)))
	}
	text := fmt.Sprintf("%d: %s", p.MaxRetries, strings.Join(delays, ", "))
	if p.MaxRetries > most {
		text += fmt.Sprintf(" … %s", term.Exact(p.Delay(p.MaxRetries-1, 0)))
	}
	return text
}

// functionJSON tells a declaration with its defaults. Where 0 means none, none is null.
type functionJSON struct {
	Name               string                           `json:"func"`
	Version            int                              `json:"version"`
	Queue              string                           `json:"queue"`
	Key                []string                         `json:"key"` // null: all arguments
	KeyConflict        *refcache.KeyConflict            `json:"key_conflict"`
	Args               json.RawMessage                  `json:"args"` // null: none are added
	Tags               []string                         `json:"tags"` // null: calls look at no invalidations
	Exec               []string                         `json:"exec"` // null: Go workers serve it
	Timeout            *float64                         `json:"timeout_seconds"`
	AsyncTimeout       float64                          `json:"async_timeout_seconds"`
	TTL                float64                          `json:"ttl_seconds"`
	Fresh              *float64                         `json:"fresh_seconds"` // null: as long as the result is kept
	FailureTTL         float64                          `json:"failure_ttl_seconds"`
	FailureAnswer      map[refcache.FailureKind]float64 `json:"failure_answer_seconds"`
	MaxRetries         int                              `json:"max_retries"`
	RetryDelay         float64                          `json:"retry_delay_seconds"`
	RetryBackoffFactor float64                          `json:"retry_backoff_factor"`
	RetryMaxDelay      *float64                         `json:"retry_max_delay_seconds"`
	RetryJitter        float64                          `json:"retry_jitter"`
	Backoff            *string                          `json:"backoff"`
	Gate               *gateJSON                        `json:"gate"`
	Turn               *turnJSON                        `json:"turn"`
}

func (a *app) functionsJSON() error {
	for _, fn := range a.cfg.Functions {
		f, err := newFunctionJSON(fn)
		if err != nil {
			return err
		}
		if err := a.printObject(f); err != nil {
			return err
		}
	}
	return nil
}

func newFunctionJSON(fn config.Function) (functionJSON, error) {
	p, err := fn.Func.Policy()
	if err != nil {
		return functionJSON{}, &usageError{err}
	}
	answers := map[refcache.FailureKind]float64{}
	for _, kind := range refcache.FailureKinds {
		answers[kind] = p.FailureAnswer.Of(kind).Seconds()
	}
	var conflict *refcache.KeyConflict
	if len(fn.Func.KeyFields) > 0 {
		conflict = new(cmp.Or(fn.Func.KeyConflict, refcache.KeyJoin))
	}
	return functionJSON{Name: p.Name, Version: p.Version, Queue: p.Queue, Key: fn.Func.KeyFields, KeyConflict: conflict, Args: fn.Args, Tags: fn.Tags, Exec: fn.Exec,
		Timeout: unlessZero(p.Timeout.Seconds()), AsyncTimeout: p.AsyncTimeout.Seconds(), TTL: p.TTL.Seconds(),
		Fresh: unlessZero(p.Fresh.Seconds()), FailureTTL: p.FailureTTL.Seconds(), FailureAnswer: answers, MaxRetries: p.MaxRetries, RetryDelay: p.RetryDelay.Seconds(),
		RetryBackoffFactor: p.BackoffFactor, RetryMaxDelay: unlessZero(p.RetryMaxDelay.Seconds()),
		RetryJitter: p.RetryJitter, Backoff: unlessZero(p.Backoff), Gate: newGateJSON(p.Gate), Turn: newTurnJSON(fn.Func)}, nil
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
