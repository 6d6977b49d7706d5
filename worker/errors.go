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
