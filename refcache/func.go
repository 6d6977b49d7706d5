package refcache

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// NoRetries as [RetryPolicy].MaxRetries makes the first failure final.
const NoRetries = -1

// Func declares a function once for both sides: producers call it, workers handle it. In and Out travel as JSON.
//
// A call is known by namespace, function, version and arguments, as JSON. What differs there makes two calls: a time in
// another zone (pass UTC), a nil slice or map (null) and an empty one, a zero field and one that is left out (tag it
// omitzero). What an interface such as any holds counts as the JSON that it makes: int 1 and float64 1 are one number. A
// type that would lose a field on the way is refused, see [Func].IgnoreUnexported.
//
// In every duration and number here zero means the default. A negative value means none where that can be: no limit, no
// wait, no retries; otherwise it is refused. A Func is a plain value: to call with another policy, change a copy.
type Func[In, Out any] struct {
	// Name is what both sides know the function by: letters, digits and ._/- (first a letter or digit), at most 128.
	Name string
	// Version is part of a call's identity; raise it when results must be computed anew. Zero means 1.
	Version int
	// Queue is where calls wait for a worker; named like functions, without a slash. Empty means "default".
	Queue string
	// Retry says how failed attempts are repeated.
	Retry RetryPolicy
	// Timeout limits one attempt. Default 5 minutes; negative: no limit.
	Timeout time.Duration
	// AsyncTimeout is how long Call waits before it answers that the call is in flight. Default 5 s; negative: do not wait.
	AsyncTimeout time.Duration
	// TTL is how long a result is kept. Default 24 h, at least 1 s.
	TTL time.Duration
	// Fresh is how long a result answers as it is, counted from the start of the attempt that made it. An older one still
	// answers, at once, and is refreshed behind. Default TTL, which means always; at least 1 s, at most TTL.
	Fresh time.Duration
	// FailureTTL is how long people see a failed or cancelled task. Default 168 h, at least 1 s.
	FailureTTL time.Duration
	// FailureAnswer is how long a failure answers calls. A later call runs the function anew.
	FailureAnswer FailureAnswer

	// Key returns what calls are known by, in place of all of their arguments: 1 byte to 1 KiB of UTF-8. Calls of one key
	// are one call, and run with the arguments of the one that started it. Nil: all arguments count. It runs in every
	// call, and may run at the same time several times.
	Key func(In) string
	// KeyFields is Key by JSON Pointers (RFC 6901) into the arguments as JSON, such as /url: what stands there counts, and
	// that something is absent. A program without Go says the same by key: in config.yaml. Only one of both may be set.
	KeyFields []string
	// KeyConflict is what becomes of a call whose key is in flight or complete under other arguments. Default [KeyJoin].
	KeyConflict KeyConflict
	// Tags returns what a call's result depends on, such as "user:7": at most 16 tags of 1 to 128 bytes of UTF-8, without
	// space, comma, # and control characters; others are refused. What is invalidated under one of them answers no longer,
	// see Producer.Invalidate. Tags should follow from what the call is known by. Nil: calls do not look at invalidations,
	// which costs nothing. A function that returns none has calls look at those of the function and the namespace. It runs
	// in every call, and may run at the same time several times.
	Tags func(In) []string
	// Gate limits how many calls run at the same time and how often they start. The zero Gate: nothing does.
	Gate Gate
	// Turn returns where a call stands in the line of Gate. Nil, and without TurnFields: all calls have one key and one
	// share, which are empty. It runs in every call, and may run at the same time several times.
	Turn func(In) Turn
	// TurnFields is Turn by JSON Pointers into the arguments. A program without Go says the same by turn: in config.yaml.
	// Only one of both may be set.
	TurnFields TurnFields
	// IgnoreUnexported lets In have unexported fields, as the types of protobuf do. Calls that differ in them alone are
	// one call. Otherwise such an In is refused, because that is mostly a mistake.
	IgnoreUnexported bool
	// AllowUnknown has a worker run calls whose arguments have members that In lacks. Otherwise it hands them on to workers
	// that may know them: a newer caller means something by them. After 10 min of that a call fails.
	AllowUnknown bool
}

// KeyConflict is what becomes of a call whose key is known under other arguments.
type KeyConflict string

const (
	KeyJoin   KeyConflict = "join"   // it is the same call
	KeyRefuse KeyConflict = "refuse" // it is refused with [ErrKeyConflict]
)

// FailureAnswer says how long a failure answers calls, counted from its end, by why the last attempt failed. Zero fields
// mean the defaults, negative ones none: every call runs the function anew. At most 100 years each.
type FailureAnswer struct {
	// Error is for an error that the function returned. Default 1 min.
	Error time.Duration
	// Permanent is for an error of which the function says that no retry would mend it. Default 1 h.
	Permanent time.Duration
	// Timeout is for an attempt that took too long. Default 1 min.
	Timeout time.Duration
	// Panic is for an attempt that panicked. Default 1 min.
	Panic time.Duration
	// Lost is for attempts that brought down their workers, or seem to have. Default 10 min: a caller that calls again
	// and again must not bring down more.
	Lost time.Duration
}

// Of returns the field for a kind of failure, that for errors if the kind is unknown.
func (a FailureAnswer) Of(kind FailureKind) time.Duration {
	return *a.field(kind)
}

// FailureKind is why a call failed: the cause of its last attempt, or that no retry would mend it.
type FailureKind string

// The kinds, in the order of the fields of [FailureAnswer].
const (
	FailureError     = FailureKind(CauseError)
	FailurePermanent = FailureKind("permanent")
	FailureTimeout   = FailureKind(CauseTimeout)
	FailurePanic     = FailureKind(CausePanic)
	FailureLost      = FailureKind(CauseLost)
)

// FailureKinds lists every FailureKind.
var FailureKinds = []FailureKind{FailureError, FailurePermanent, FailureTimeout, FailurePanic, FailureLost}

func (a *FailureAnswer) field(kind FailureKind) *time.Duration {
	switch kind {
	case FailurePermanent:
		return &a.Permanent
	case FailureTimeout:
		return &a.Timeout
	case FailurePanic:
		return &a.Panic
	case FailureLost:
		return &a.Lost
	}
	return &a.Error
}

// RetryPolicy says how often and when a failed attempt is repeated: after Delay * BackoffFactor^n, where n counts the
// retries done before. Zero fields mean the defaults, negative ones none.
type RetryPolicy struct {
	// MaxRetries is how many retries follow the first attempt. Default 3, at most 10000; [NoRetries]: none.
	MaxRetries int
	// Delay is the wait before the first retry. Default 1 s; negative: none.
	Delay time.Duration
	// BackoffFactor is what each further wait is multiplied by. Default 2, at least 1.
	BackoffFactor float64
	// MaxDelay caps the wait. Default 60 s, or Delay if that is longer, and no cap beside a named Backoff; negative: no
	// cap. A cap that is shorter than Delay is refused.
	MaxDelay time.Duration
	// Jitter is the largest share of a wait that is added to it at random, 0 to 1. Default 0.1; negative: none.
	Jitter float64
	// Backoff names a function of the workers (worker.Config.Backoffs) that replaces the formula. Empty: the formula.
	Backoff string
}

// Policy checks the declaration and returns it with every default filled in. The error names the function, the field
// and the value.
func (f Func[In, Out]) Policy() (Policy, error) {
	p := Policy{
		Name:          f.Name,
		Version:       orDefault(f.Version, 1),
		Queue:         orDefault(f.Queue, Defaults.Queue),
		MaxRetries:    max(0, orDefault(f.Retry.MaxRetries, Defaults.MaxRetries)),
		RetryDelay:    wholeMillis(orDefault(f.Retry.Delay, Defaults.RetryDelay)),
		BackoffFactor: orDefault(f.Retry.BackoffFactor, Defaults.BackoffFactor),
		RetryMaxDelay: wholeMillis(f.Retry.maxDelay()),
		RetryJitter:   max(0, orDefault(f.Retry.Jitter, Defaults.RetryJitter)),
		Backoff:       f.Retry.Backoff,
		Timeout:       wholeMillis(orDefault(f.Timeout, Defaults.Timeout)),
		AsyncTimeout:  max(0, orDefault(f.AsyncTimeout, Defaults.AsyncTimeout)),
		TTL:           wholeMillis(orDefault(f.TTL, Defaults.TTL)),
		FailureTTL:    wholeMillis(orDefault(f.FailureTTL, Defaults.FailureTTL)),
		Fresh:         wholeMillis(f.Fresh),
		Gate:          f.Gate.withDefaults(),
	}
	if f.Fresh < 0 {
		p.Fresh = f.Fresh // which is refused
	}
	for _, kind := range FailureKinds {
		*p.FailureAnswer.field(kind) = wholeMillis(orDefault(f.FailureAnswer.Of(kind), Defaults.FailureAnswer.Of(kind)))
	}
	if err := p.Check(); err != nil {
		return p, err
	}
	if err := checkKey(f.Key != nil, f.KeyFields, f.KeyConflict); err != nil {
		return p, fmt.Errorf("function %s: %w", p.Name, err)
	}
	if err := checkTurn(p.Gate.Name != "", f.Turn != nil, f.TurnFields); err != nil {
		return p, fmt.Errorf("function %s: %w", p.Name, err)
	}
	return p, nil
}

// checkKey is what is wrong with what a declaration says of keys.
func checkKey(own bool, fields []string, conflict KeyConflict) error {
	switch {
	case own && len(fields) > 0:
		return errors.New("key and key_fields are both set: leave one out")
	case conflict != "" && conflict != KeyJoin && conflict != KeyRefuse:
		return fmt.Errorf("key_conflict is %.80q, must be %s or %s", conflict, KeyJoin, KeyRefuse)
	case conflict != "" && !own && len(fields) == 0:
		return fmt.Errorf("key_conflict is %s, must stand beside a key", conflict)
	}
	return checkPointers("key", fields)
}

// isPointer reports whether a text is a JSON Pointer (RFC 6901) to a part of a value.
func isPointer(text string) bool {
	for at := range len(text) {
		if text[at] == '~' && !strings.HasPrefix(text[at+1:], "0") && !strings.HasPrefix(text[at+1:], "1") {
			return false
		}
	}
	return strings.HasPrefix(text, "/") && utf8.ValidString(text)
}

// maxDelay is the cap with its default filled in.
func (r RetryPolicy) maxDelay() time.Duration {
	switch {
	case r.MaxDelay != 0:
		return r.MaxDelay
	case r.Backoff != "":
		return 0
	}
	return max(Defaults.RetryMaxDelay, r.Delay)
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// wholeMillis rounds up to the unit of the record, and makes a negative duration none.
func wholeMillis(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	if rest := d % time.Millisecond; rest != 0 && d < maxDuration-time.Millisecond {
		d += time.Millisecond - rest
	}
	return d
}
