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

// parseRecord reads what scripts answer as a record: the values of fields, then Redis's time.
func parseRecord(ref refcache.Ref, reply any) (Record, error) {
	values, ok := reply.([]any)
	if !ok || len(values) != len(fields)+1 {
		return Record{}, fmt.Errorf("record of %s: unexpected reply %T", ref, reply)
	}
	p := parser{values: values}
	if v := p.int(atV, 1); v > recordVersion && p.err == nil {
		return Record{}, newer(ref, v)
	}
	r := p.record(ref)
	for _, name := range neededFields[r.Status] {
		if at := slices.Index(fields, name); at >= 0 {
			p.need(at)
		}
	}
	if p.err != nil {
		return Record{}, damaged(ref, p.err)
	}
	return r, nil
}

func (p *parser) record(ref refcache.Ref) Record {
	return Record{
		Ref: ref, ReadAt: p.time(atNow), Status: p.status(), Namespace: p.text(atNS, refcache.DefaultNamespace),
		Policy: p.policy(ref), Cycle: p.int(atCycle, 1), Delivery: p.int(atDelivery, 1), Attempt: p.int(atAttempt, 0),
		Worker: p.text(atWorker, ""), CreatedAt: p.time(atCreatedAt), UpdatedAt: p.time(atUpdatedAt),
		StartedAt: p.time(atStartedAt), CompletedAt: p.time(atCompletedAt), NextRetryAt: p.time(atNextRetryAt),
		RetryCount: p.int(atRetryCount, 0), LostCount: p.int(atLostCount, 0), LastError: p.text(atLastError, ""),
		Note: p.text(atNote, ""), Progress: p.progress(), attempts: p.int(atHistN, 0), events: p.int(atEventN, 0),
	}
}

func (p *parser) policy(ref refcache.Ref) refcache.Policy {
	d := &refcache.Defaults
	return refcache.Policy{
		Name: p.text(atFunc, ""), Version: p.int(atVersion, d.Version), Queue: ref.Queue(),
		MaxRetries: p.int(atMaxRetries, d.MaxRetries), RetryDelay: p.millis(atRetryDelay, d.RetryDelay),
		BackoffFactor: p.float(atBackoffFactor, d.BackoffFactor),
		RetryMaxDelay: p.millis(atRetryMaxDelay, d.RetryMaxDelay), RetryJitter: p.float(atJitter, d.RetryJitter),
		Backoff: p.text(atBackoff, ""), Timeout: p.millis(atTimeout, d.Timeout), TTL: p.millis(atTTL, d.TTL),
		FailureTTL: p.millis(atFailureTTL, d.FailureTTL),
	}
}

// policyPairs are what a policy needs in a record, as the submit script takes it: place and value of each field that is not
// the default.
func policyPairs(p refcache.Policy) []any {
	d := &refcache.Defaults
	var pairs []any
	add := func(at int, isDefault bool, value any) {
		if !isDefault {
			pairs = append(pairs, at+1, value) // Lua counts from 1
		}
	}
	add(atMaxRetries, p.MaxRetries == d.MaxRetries, p.MaxRetries)
	add(atRetryDelay, p.RetryDelay == d.RetryDelay, p.RetryDelay.Milliseconds())
	add(atRetryMaxDelay, p.RetryMaxDelay == d.RetryMaxDelay, p.RetryMaxDelay.Milliseconds())
	add(atTimeout, p.Timeout == d.Timeout, p.Timeout.Milliseconds())
	add(atTTL, p.TTL == d.TTL, p.TTL.Milliseconds())
	add(atFailureTTL, p.FailureTTL == d.FailureTTL, p.FailureTTL.Milliseconds())
	add(atBackoffFactor, p.BackoffFactor == d.BackoffFactor, p.BackoffFactor)
	add(atJitter, p.RetryJitter == d.RetryJitter, p.RetryJitter)
	add(atBackoff, p.Backoff == d.Backoff, p.Backoff)
	return pairs
}

// parser reads the fields of a record and keeps the first thing that is wrong. The scripts judge alike: see damage in lib.lua.
type parser struct {
	values []any // strings, or nil
	err    error
}

func (p *parser) get(at int) (string, bool) {
	text, ok := p.values[at].(string)
	return text, ok
}

func (p *parser) fail(at int, want string) {
	if p.err == nil {
		text, _ := p.get(at)
		p.err = fmt.Errorf("%s is %.40q, not %s", slices.Concat(fields, []string{"Redis's time"})[at], text, want)
	}
}

func (p *parser) text(at int, def string) string {
	if text, ok := p.get(at); ok {
		return text
	}
	return def
}

func (p *parser) int(at, def int) int {
	text, ok := p.get(at)
	if !ok {
		return def
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > mostDigits {
		p.fail(at, "a whole number")
	}
	return int(n)
}

// decimalForm is how numbers with a fraction are written. strconv and Lua each take more, and not the same.
var decimalForm = regexp.MustCompile(`^[0-9]+\.?[0-9]*$`)

func (p *parser) float(at int, def float64) float64 {
	text, ok := p.get(at)
	if !ok {
		return def
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !decimalForm.MatchString(text) {
		p.fail(at, "a number")
	}
	return n
}

func (p *parser) millis(at int, def time.Duration) time.Duration {
	return time.Duration(p.int(at, int(def.Milliseconds()))) * time.Millisecond
}

func (p *parser) time(at int) time.Time {
	if _, ok := p.get(at); !ok {
		return time.Time{}
	}
	return time.UnixMilli(int64(p.int(at, 0)))
}

// need complains of a field that is missing.
func (p *parser) need(at int) {
	if _, ok := p.get(at); !ok && p.err == nil {
		p.err = fmt.Errorf("%s is missing", fields[at])
	}
}

func (p *parser) status() refcache.Status {
	p.need(atStatus)
	text, ok := p.get(atStatus)
	s := refcache.Status(text)
	if ok && !s.IsFinal() && !s.InFlight() {
		p.fail(atStatus, "a status")
	}
	return s
}

func (p *parser) progress() *refcache.Progress {
	text, ok := p.get(atProgress)
	if !ok {
		return nil
	}
	var report progressEntry
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		report = progressEntry{Message: fmt.Sprintf("unreadable report %.40q", text)} // the next one is as good as any
	}
	return report.progress()
}
