package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/refq/refq/refcache"
)

// Permanent marks err as one that a retry cannot mend: the task fails at once. The function returns it, wrapped or
// not. A nil err gives nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryAfter marks err with the wait before the next attempt, in place of the policy's; it is neither capped nor
// jittered. Zero and negative d mean at once. Whether a retry is left is still the policy's to say. A nil err gives nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, max(0, d)}
}

// Unavailable marks err as one of what the call needs, and not of the call: it is busy or away, as HTTP says by 429 and 503. It
// closes the key of the call's [refcache.Turn] for d. The call waits for its turn again, which costs no retry, and no other call of
// the key starts. Then one call goes alone: if it completes, the key is open. That is repeated for as long as it takes.
//
// d is at least 0.1 s and at most 24 h: a shorter or a longer one is taken for that. A call without a gate is retried as by
// [RetryAfter], and its note says so. A permanent err fails the task. A nil err gives nil.
func Unavailable(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &unavailableError{err, min(max(d, minClosed), maxClosed)}
}

// How long a key may be closed.
const (
	minClosed = 100 * time.Millisecond
	maxClosed = 24 * time.Hour
)

// Fail makes an error for programs to go by: a code as of [refcache.Coded], a message for people, and details that become
// JSON of at most 4 KiB, nil for none. Callers read them as Code and Details of the *refcache.TaskError. What is bad or too
// long is left out, and the error says so.
func Fail(code, message string, details any) error {
	return &failError{refcache.Coded(code, errors.New(message)), details}
}

type failError struct {
	error   // coded
	details any
}

func (e *failError) Unwrap() error { return e.error }

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

type retryAfterError struct {
	error
	delay time.Duration
}

func (e *retryAfterError) Unwrap() error { return e.error }

type unavailableError struct {
	error
	closed time.Duration
}

func (e *unavailableError) Unwrap() error { return e.error }

// Why the context of a function ends. Each is the context's cause.
var (
	// ErrShutdown: the worker is stopping; the task is handed back, and the attempt does not count.
	ErrShutdown = errors.New("worker is shutting down")
	// ErrVoid: the attempt is no longer wanted: the task was cancelled, or given to another worker.
	ErrVoid = errors.New("attempt is void: the task was cancelled or given to another worker")
)

// TimeoutError is the cause when an attempt took longer than its function's Timeout.
type TimeoutError struct {
	Limit time.Duration // the Timeout
}

// Error says that and after how long the attempt timed out.
func (e *TimeoutError) Error() string { return fmt.Sprintf("timed out after %v", e.Limit) }
