package refcache

import (
	"time"
)

// NoRetries as [RetryPolicy].MaxRetries makes the first failure final.
const NoRetries = -1

// Func declares a function once for both sides: producers call it, workers handle it. In and Out travel as JSON.
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
	// FailureTTL is how long a failed or cancelled task is kept. Default 168 h, at least 1 s.
	FailureTTL time.Duration
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
	// MaxDelay caps the wait. Default 60 s; negative: no cap.
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
		RetryMaxDelay: wholeMillis(orDefault(f.Retry.MaxDelay, Defaults.RetryMaxDelay)),
		RetryJitter:   max(0, orDefault(f.Retry.Jitter, Defaults.RetryJitter)),
		Backoff:       f.Retry.Backoff,
		Timeout:       wholeMillis(orDefault(f.Timeout, Defaults.Timeout)),
		AsyncTimeout:  max(0, orDefault(f.AsyncTimeout, Defaults.AsyncTimeout)),
		TTL:           wholeMillis(orDefault(f.TTL, Defaults.TTL)),
		FailureTTL:    wholeMillis(orDefault(f.FailureTTL, Defaults.FailureTTL)),
	}
	return p, p.check()
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
