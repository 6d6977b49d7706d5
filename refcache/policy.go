package refcache

import (
	"fmt"
	"math"
	"time"
)

const maxDuration = time.Duration(math.MaxInt64)

// Policy is a function's declaration with every default filled in and checked. Here zero means none: no retries,
// no delay, no cap, no jitter, no time limit, do not wait.
type Policy struct {
	Name          string
	Version       int
	Queue         string
	MaxRetries    int
	RetryDelay    time.Duration // whole milliseconds, like all durations here but AsyncTimeout
	BackoffFactor float64
	RetryMaxDelay time.Duration
	RetryJitter   float64
	Backoff       string
	Timeout       time.Duration
	AsyncTimeout  time.Duration
	TTL           time.Duration
	FailureTTL    time.Duration
	Fresh         time.Duration // 0: as long as TTL
	FailureAnswer FailureAnswer
	Gate          Gate // the zero Gate: none
}

// Defaults is what the zero values of a [Func] stand for.
var Defaults = Policy{
	Version:       1,
	Queue:         "default",
	MaxRetries:    3,
	RetryDelay:    time.Second,
	BackoffFactor: 2,
	RetryMaxDelay: time.Minute,
	RetryJitter:   0.1,
	Timeout:       5 * time.Minute,
	AsyncTimeout:  5 * time.Second,
	TTL:           24 * time.Hour,
	FailureTTL:    168 * time.Hour,
	FailureAnswer: FailureAnswer{Error: time.Minute, Permanent: time.Hour, Timeout: time.Minute, Panic: time.Minute,
		Lost: 10 * time.Minute},
}

// maxVersion has as many digits as Lua's numbers hold exactly, in any place.
const maxVersion = 999_999_999_999_999

// DefaultNamespace is the namespace of who names none.
const DefaultNamespace = "default"

// AllNamespaces stands for all namespaces where somebody looks for calls. It is no name: nobody calls in it.
const AllNamespaces = "*"

// MaxLost is how many lost attempts a cycle survives: the next loss fails the task.
const MaxLost = 3

const maxRetries = 10_000

// Delay returns the wait before the next attempt when n retries have been done before (0 first):
// RetryDelay * BackoffFactor^n, bounded as [Policy.Jittered] does. It never overflows.
func (p Policy) Delay(n int, u float64) time.Duration {
	if p.RetryDelay == 0 {
		return 0 // and not 0 * Inf
	}
	d := float64(p.RetryDelay) * math.Pow(p.BackoffFactor, float64(max(0, n)))
	// Beyond 2^53 ns a float64 is no longer exact.
	return p.Jittered(max(p.RetryDelay, time.Duration(min(d, float64(MaxDelay)))), u)
}

// Jittered caps a wait by RetryMaxDelay, then lengthens it by u (0 <= u < 1, the caller's random number) times
// RetryJitter of itself. It never shortens it otherwise, but to a century; a negative d is none.
func (p Policy) Jittered(d time.Duration, u float64) time.Duration {
	d = min(max(0, d), MaxDelay)
	if p.RetryMaxDelay > 0 {
		d = min(d, p.RetryMaxDelay)
	}
	return d + time.Duration(math.Ceil(min(float64(d)*u*p.RetryJitter, float64(MaxDelay))))
}

// MaxDelay is the longest wait before a retry. It keeps due times within what Redis scripts count exactly, 2^53 ms; a century will do.
const MaxDelay = 100 * 365 * 24 * time.Hour

// CheckName reports whether s may name a function or a namespace. The error shows what is allowed.
func CheckName(s string) error {
	if !validName(s) {
		return fmt.Errorf("name %q: use letters, digits and ._/- (first a letter or digit), at most 128", clip(s))
	}
	return nil
}

// CheckQueue is [CheckName] for queues, which may not contain a slash.
func CheckQueue(s string) error {
	if !validQueue(s) {
		return fmt.Errorf("queue %q: use letters, digits and ._- (first a letter or digit), at most 128", clip(s))
	}
	return nil
}

// Check reports whether the policy could be that of a declaration. The error names the function, the field and the value.
func (p Policy) Check() error {
	if err := CheckName(p.Name); err != nil {
		return fmt.Errorf("function: %w", err)
	}
	if err := p.checkFields(); err != nil {
		return fmt.Errorf("function %s: %w", p.Name, err)
	}
	return nil
}

func (p Policy) checkFields() error {
	if err := CheckQueue(p.Queue); err != nil {
		return err
	}
	if p.Backoff != "" {
		if err := CheckName(p.Backoff); err != nil {
			return fmt.Errorf("backoff: %w", err)
		}
	}
	switch {
	case p.Version < 1:
		return fmt.Errorf("version is %d, must be at least 1", p.Version)
	case p.Version > maxVersion:
		return fmt.Errorf("version is %d, must have at most 15 digits: use seconds, not milliseconds or less", p.Version)
	case p.MaxRetries > maxRetries:
		return fmt.Errorf("max_retries is %d, must be at most %d", p.MaxRetries, maxRetries)
	case !(p.BackoffFactor >= 1) || math.IsInf(p.BackoffFactor, 1):
		return fmt.Errorf("retry_backoff_factor is %v, must be finite and at least 1", p.BackoffFactor)
	case !(p.RetryJitter <= 1):
		return fmt.Errorf("retry_jitter is %v, must be at most 1", p.RetryJitter)
	case p.RetryMaxDelay > 0 && p.RetryMaxDelay < p.RetryDelay && p.Backoff == "":
		return fmt.Errorf("retry_max_delay is %v, shorter than retry_delay %v", p.RetryMaxDelay, p.RetryDelay)
	case p.TTL < time.Second:
		return fmt.Errorf("ttl is %v, must be at least 1s", p.TTL)
	case p.Fresh != 0 && p.Fresh < time.Second:
		return fmt.Errorf("fresh is %v, must be at least 1s", max(0, p.Fresh))
	case p.Fresh > p.TTL:
		return fmt.Errorf("fresh is %v, longer than ttl %v", p.Fresh, p.TTL)
	case p.FailureTTL < time.Second:
		return fmt.Errorf("failure_ttl is %v, must be at least 1s", p.FailureTTL)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"retry_delay", p.RetryDelay}, {"retry_max_delay", p.RetryMaxDelay}, {"timeout", p.Timeout},
		{"ttl", p.TTL}, {"failure_ttl", p.FailureTTL},
	} {
		if d.value > MaxDelay {
			return fmt.Errorf("%s is %v, must be at most 100 years", d.field, d.value)
		}
	}
	if err := p.Gate.check(); err != nil {
		return err
	}
	for _, kind := range FailureKinds {
		if d := p.FailureAnswer.Of(kind); d > MaxDelay {
			return fmt.Errorf("failure_answer %s is %v, must be at most 100 years", kind, d)
		}
	}
	return nil
}
