package store

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/refq/refq/refcache"
)

// recordVersion is the newest form of record that this code reads. Records of version 1 do not name it.
const recordVersion = 1

// fields are read together, in this order, by every script that answers with a record.
var fields = []string{
	"v", "status", "ns", "func", "version", "cycle", "delivery", "attempt", "worker",
	"created_at", "updated_at", "started_at", "completed_at", "next_retry_at",
	"retry_count", "lost_count", "last_error", "note", "progress", "hist_n", "event_n",
	"max_retries", "retry_delay", "retry_backoff_factor", "retry_max_delay", "retry_jitter", "backoff",
	"timeout", "ttl", "failure_ttl",
}

// policyFields are what a new life takes from its submitter.
var policyFields = []string{
	"max_retries", "retry_delay", "retry_backoff_factor", "retry_max_delay", "retry_jitter", "backoff",
	"timeout", "ttl", "failure_ttl",
}

// Record is a task as it stands in Redis, without arguments, result and history. Zero times are unknown.
type Record struct {
	Ref       refcache.Ref
	ReadAt    time.Time // Redis's clock
	Status    refcache.Status
	Namespace string
	Policy    refcache.Policy // AsyncTimeout is not kept
	Cycle     int
	Delivery  int
	Attempt   int
	Worker    string

	CreatedAt   time.Time
	UpdatedAt   time.Time // when it became pending or retrying
	StartedAt   time.Time
	CompletedAt time.Time
	NextRetryAt time.Time

	RetryCount int
	LostCount  int
	LastError  string
	Note       string
	Progress   *refcache.Progress

	attempts, events int // how many there have been
}

// CanRetry reports whether the task failed with retries left.
func (r Record) CanRetry() bool {
	return r.Status == refcache.Failed && r.RetryCount < r.Policy.MaxRetries
}

// Exhausted reports whether the task failed with no retries left.
func (r Record) Exhausted() bool {
	return r.Status == refcache.Failed && r.RetryCount >= r.Policy.MaxRetries
}

// ExpiresAt is when an ended task's record goes away; zero while the task is in flight.
func (r Record) ExpiresAt() time.Time {
	switch r.Status {
	case refcache.Complete:
		return r.CompletedAt.Add(r.Policy.TTL)
	case refcache.Failed, refcache.Cancelled:
		return r.CompletedAt.Add(r.Policy.FailureTTL)
	}
	return time.Time{}
}

// Error is why the task failed; empty in every other status.
func (r Record) Error() string {
	if r.Status != refcache.Failed {
		return ""
	}
	return r.LastError
}

// parseRecord reads what the scripts' read() returns: Redis's time, then the values of fields.
func parseRecord(ref refcache.Ref, reply any) (Record, error) {
	values, ok := reply.([]any)
	if !ok || len(values) != 1+len(fields) {
		return Record{}, fmt.Errorf("record of %s: unexpected reply %T", ref, reply)
	}
	p := parser{values: make(map[string]string, len(fields))}
	for i, name := range fields {
		if text, ok := values[1+i].(string); ok {
			p.values[name] = text
		}
	}
	p.values["now"], _ = values[0].(string)
	if v := p.int("v", 1); v > recordVersion && p.err == nil {
		return Record{}, newer(ref, v)
	}
	r := p.record(ref)
	p.need(neededFields[r.Status])
	if p.err != nil {
		return Record{}, damaged(ref, p.err)
	}
	return r, nil
}

func (p *parser) record(ref refcache.Ref) Record {
	return Record{
		Ref: ref, ReadAt: p.time("now"), Status: p.status(), Namespace: p.text("ns", refcache.DefaultNamespace),
		Policy: p.policy(ref), Cycle: p.int("cycle", 1), Delivery: p.int("delivery", 1), Attempt: p.int("attempt", 0),
		Worker: p.text("worker", ""), CreatedAt: p.time("created_at"), UpdatedAt: p.time("updated_at"),
		StartedAt: p.time("started_at"), CompletedAt: p.time("completed_at"), NextRetryAt: p.time("next_retry_at"),
		RetryCount: p.int("retry_count", 0), LostCount: p.int("lost_count", 0), LastError: p.text("last_error", ""),
		Note: p.text("note", ""), Progress: p.progress(), attempts: p.int("hist_n", 0), events: p.int("event_n", 0),
	}
}

func (p *parser) policy(ref refcache.Ref) refcache.Policy {
	d := refcache.Defaults
	return refcache.Policy{
		Name: p.text("func", ""), Version: p.int("version", d.Version), Queue: ref.Queue(),
		MaxRetries: p.int("max_retries", d.MaxRetries), RetryDelay: p.millis("retry_delay", d.RetryDelay),
		BackoffFactor: p.float("retry_backoff_factor", d.BackoffFactor),
		RetryMaxDelay: p.millis("retry_max_delay", d.RetryMaxDelay), RetryJitter: p.float("retry_jitter", d.RetryJitter),
		Backoff: p.text("backoff", ""), Timeout: p.millis("timeout", d.Timeout), TTL: p.millis("ttl", d.TTL),
		FailureTTL: p.millis("failure_ttl", d.FailureTTL),
	}
}

// policyPairs are the fields and values that a policy needs in a record: those that are not the default.
func policyPairs(p refcache.Policy) []any {
	d := refcache.Defaults
	var pairs []any
	add := func(field string, isDefault bool, value any) {
		if !isDefault {
			pairs = append(pairs, field, value)
		}
	}
	add("max_retries", p.MaxRetries == d.MaxRetries, p.MaxRetries)
	add("retry_delay", p.RetryDelay == d.RetryDelay, p.RetryDelay.Milliseconds())
	add("retry_backoff_factor", p.BackoffFactor == d.BackoffFactor, p.BackoffFactor)
	add("retry_max_delay", p.RetryMaxDelay == d.RetryMaxDelay, p.RetryMaxDelay.Milliseconds())
	add("retry_jitter", p.RetryJitter == d.RetryJitter, p.RetryJitter)
	add("backoff", p.Backoff == d.Backoff, p.Backoff)
	add("timeout", p.Timeout == d.Timeout, p.Timeout.Milliseconds())
	add("ttl", p.TTL == d.TTL, p.TTL.Milliseconds())
	add("failure_ttl", p.FailureTTL == d.FailureTTL, p.FailureTTL.Milliseconds())
	return pairs
}

// parser reads fields of a record and keeps the first thing that is wrong. The scripts judge alike: see damage in lib.lua.
type parser struct {
	values map[string]string
	err    error
}

func (p *parser) fail(field, want string) {
	if p.err == nil {
		p.err = fmt.Errorf("%s is %.40q, not %s", field, p.values[field], want)
	}
}

func (p *parser) text(field, def string) string {
	if v, ok := p.values[field]; ok {
		return v
	}
	return def
}

func (p *parser) int(field string, def int) int {
	v, ok := p.values[field]
	if !ok {
		return def
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil || len(v) > mostDigits {
		p.fail(field, "a whole number")
	}
	return int(n)
}

// decimalForm is how numbers with a fraction are written. strconv and Lua each take more, and not the same.
var decimalForm = regexp.MustCompile(`^[0-9]+\.?[0-9]*$`)

func (p *parser) float(field string, def float64) float64 {
	v, ok := p.values[field]
	if !ok {
		return def
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !decimalForm.MatchString(v) {
		p.fail(field, "a number")
	}
	return n
}

func (p *parser) millis(field string, def time.Duration) time.Duration {
	return time.Duration(p.int(field, int(def.Milliseconds()))) * time.Millisecond
}

func (p *parser) time(field string) time.Time {
	if _, ok := p.values[field]; !ok {
		return time.Time{}
	}
	return time.UnixMilli(int64(p.int(field, 0)))
}

// need complains of fields that are missing, of those that are read.
func (p *parser) need(names []string) {
	for _, name := range names {
		if _, ok := p.values[name]; !ok && p.err == nil && slices.Contains(fields, name) {
			p.err = fmt.Errorf("%s is missing", name)
		}
	}
}

func (p *parser) status() refcache.Status {
	s := refcache.Status(p.values["status"])
	if _, ok := p.values["status"]; !ok {
		p.need([]string{"status"})
	} else if !s.IsFinal() && !s.InFlight() {
		p.fail("status", "a status")
	}
	return s
}

func (p *parser) progress() *refcache.Progress {
	text, ok := p.values["progress"]
	if !ok {
		return nil
	}
	var report progressEntry
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		report = progressEntry{Message: fmt.Sprintf("unreadable report %.40q", text)} // the next one is as good as any
	}
	return report.progress()
}
