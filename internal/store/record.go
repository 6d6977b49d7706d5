package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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

	// Of a complete task that was refreshed in vain, and of one that is being refreshed: where its result comes from.
	ResultFrom ResultFrom

	Turn Turn // told by Claim and ReadAll; the zero Turn: the task has no gate

	HeldUp HeldUp             // told by Read, Result, Info, Whole and ReadAll; by Submit only of a gate or a key that is paused
	Stands *refcache.TurnInfo // of a task that waits for its turn, told by Read, Result, Info and Whole; nil for any other

	attempts, events int    // how many there have been
	lastAttempt      string // its entry in the history; empty: not told, or none
}

// ResultFrom tells of a result while it is run again, and after that has failed. The zero value is that of all others.
type ResultFrom struct {
	AsOf      time.Time // when the attempt began that made it
	ExpiresAt time.Time
	Refresh   string // how the refresh failed: a refcache.FailureKind or "cancelled"; empty while it runs
}

// Stale reports whether the task is complete with an old result, because its last refresh failed.
func (r Record) Stale() bool { return r.Status == refcache.Complete && r.ResultFrom.Refresh != "" }

// StaleReason is why a complete task has an old result; empty if it has not.
func (r Record) StaleReason() refcache.StaleReason {
	switch {
	case !r.Stale():
		return ""
	case r.ResultFrom.Refresh == string(refcache.StaleCancelled):
		return refcache.StaleCancelled
	}
	return refcache.StaleError
}

// AsOf is when the attempt began that made the result; zero if there is none.
func (r Record) AsOf() time.Time {
	if r.Status == refcache.Complete && r.ResultFrom.AsOf.IsZero() {
		return r.StartedAt
	}
	return r.ResultFrom.AsOf
}

// LastAttempt is the last entry of the history of attempts behind a failed or stale record; the zero Attempt if there
// is none.
func (r Record) LastAttempt() refcache.Attempt {
	attempt, err := parseAttempt(r.lastAttempt)
	if err != nil {
		return refcache.Attempt{}
	}
	return attempt
}

// FailureKind is why the task failed, as far as its record tells: the scripts judge alike.
func (r Record) FailureKind() refcache.FailureKind {
	attempt := r.LastAttempt()
	switch {
	case attempt.Permanent:
		return refcache.FailurePermanent
	case attempt.Cause == "":
		return refcache.FailureError
	}
	return refcache.FailureKind(attempt.Cause)
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
		if !r.ResultFrom.ExpiresAt.IsZero() {
			return r.ResultFrom.ExpiresAt
		}
		return r.CompletedAt.Add(r.Policy.TTL)
	case refcache.Failed, refcache.Cancelled:
		return r.CompletedAt.Add(r.Policy.FailureTTL)
	}
	return time.Time{}
}

// Error is why the task failed, or the refresh of a complete one; empty for any other.
func (r Record) Error() string {
	switch reason := r.StaleReason(); {
	case reason == refcache.StaleCancelled:
		return "the refresh was cancelled"
	case reason == refcache.StaleError || r.Status == refcache.Failed:
		return r.LastError
	}
	return ""
}

// parseRecord reads what scripts answer as a record: the values of fields, then Redis's time.
func parseRecord(ref refcache.Ref, reply any) (Record, error) {
	values, ok := reply.([]any)
	if !ok || len(values) != inRecord && len(values) != inWholeRecord {
		return Record{}, fmt.Errorf("record of %s: unexpected reply %T", ref, reply)
	}
	p := newParser(values)
	if v := p.int(atV, 1); v > RecordVersion && p.err == nil {
		return Record{}, newer(ref, v)
	}
	p.shape(values, inState)
	r := p.record(ref)
	p.shape(values, inPolicy)
	p.need(atFunc)
	for _, name := range neededFields[r.Status] {
		if at := stateWords.place(name); at >= 0 {
			p.need(at)
		}
	}
	if len(values) == inWholeRecord && p.int(atV, 1) >= neededVersions["result_from"] {
		r.ResultFrom = p.resultFrom(values[inResultFrom])
	}
	if len(values) == inWholeRecord {
		r.lastAttempt, _ = values[inLastAttempt].(string)
	}
	if p.err != nil {
		return Record{}, damaged(ref, p.err)
	}
	return r, nil
}

// resultFrom reads the field of that name.
func (p *parser) resultFrom(value any) ResultFrom {
	text, ok := value.(string)
	if !ok {
		return ResultFrom{}
	}
	words := make([]string, len(resultFromWords))
	unpack(words, text)
	at := func(place int) time.Time {
		n, err := strconv.ParseUint(words[place], 10, 63)
		if (err != nil || len(words[place]) > maxDigits) && p.err == nil {
			p.err = fmt.Errorf("%s is %.40q, not a whole number", resultFromWords[place].name, words[place])
		}
		return time.UnixMilli(int64(n))
	}
	return ResultFrom{AsOf: at(0), ExpiresAt: at(1), Refresh: words[2]}
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

// packPolicy is the field policy of a call: words that are the default are left empty.
func packPolicy(namespace string, p refcache.Policy) string {
	d := &refcache.Defaults
	b := make([]byte, 0, 64)
	text := func(word, def string) {
		if word != def {
			b = append(b, word...)
		}
		b = append(b, ',')
	}
	number := func(n, def int64) {
		if n != def {
			b = strconv.AppendInt(b, n, 10)
		}
		b = append(b, ',')
	}
	millis := func(n, def time.Duration) { number(n.Milliseconds(), def.Milliseconds()) }
	float := func(n, def float64) {
		if n != def {
			b = strconv.AppendFloat(b, n, 'f', -1, 64)
		}
		b = append(b, ',')
	}
	text(p.Name, "")
	number(int64(p.Version), int64(d.Version))
	text(namespace, refcache.DefaultNamespace)
	number(int64(p.MaxRetries), int64(d.MaxRetries))
	millis(p.TTL, d.TTL)
	millis(p.FailureTTL, d.FailureTTL)
	millis(p.RetryDelay, d.RetryDelay)
	millis(p.RetryMaxDelay, d.RetryMaxDelay)
	millis(p.Timeout, d.Timeout)
	float(p.BackoffFactor, d.BackoffFactor)
	float(p.RetryJitter, d.RetryJitter)
	return string(b) + p.Backoff
}

// parser reads the words and fields of a record and keeps the first thing that is wrong. The scripts judge alike: see damage
// in lib.lua.
type parser struct {
	values [wordsOfRecord]string // empty: there is none
	err    error
}

func newParser(values []any) *parser {
	var p parser
	text := func(i int) string { s, _ := values[i].(string); return s }
	unpack(p.values[atV:atFunc], text(inState))
	unpack(p.values[atFunc:atLastError], text(inPolicy))
	p.values[atLastError], p.values[atNote], p.values[atProgress] = text(inLastError), text(inNote), text(inProgress)
	p.values[atNow] = text(inNow)
	return &p
}

// unpack reads the words of a packed field. The last is the rest.
func unpack(words []string, packed string) {
	last := len(words) - 1
	for i := range last {
		words[i], packed, _ = strings.Cut(packed, ",")
	}
	words[last] = packed
}

// shape checks that a packed field has all of its words.
func (p *parser) shape(values []any, field int) {
	words := [...]packed{inState: stateWords, inPolicy: policyWords}[field]
	text, ok := values[field].(string)
	if n := strings.Count(text, ",") + 1; p.err == nil && !ok {
		p.err = fmt.Errorf("%s is missing", fields[field])
	} else if p.err == nil && n < len(words) {
		p.err = fmt.Errorf("%s is missing", words[n].name)
	}
}

func (p *parser) get(at int) (string, bool) {
	text := p.values[at]
	return text, text != ""
}

// nameOf is how a value is called.
func nameOf(at int) string {
	switch {
	case at < atFunc:
		return stateWords[at].name
	case at < atLastError:
		return policyWords[at-atFunc].name
	case at < atNow:
		return fields[at-atLastError+inLastError]
	}
	return "Redis's time"
}

func (p *parser) fail(at int, want string) {
	if p.err == nil {
		text, _ := p.get(at)
		p.err = fmt.Errorf("%s is %.40q, not %s", nameOf(at), text, want)
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
	if err != nil || len(text) > maxDigits {
		p.fail(at, "a whole number")
	}
	return int(n)
}

// isDecimal reports whether a text is digits, which may be followed by a point and more of them. strconv and Lua each take
// more, and not the same.
func isDecimal(text string) bool {
	before, after, _ := strings.Cut(text, ".")
	return before != "" && strings.Trim(before, "0123456789") == "" && strings.Trim(after, "0123456789") == ""
}

func (p *parser) float(at int, def float64) float64 {
	text, ok := p.get(at)
	if !ok {
		return def
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !isDecimal(text) {
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
		p.err = fmt.Errorf("%s is missing", nameOf(at))
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
