package refcache

import (
	"encoding/json"
	"errors"
	"fmt"
)

// What refq answers when it cannot do what was asked. Errors returned by producer and worker wrap these; test with errors.Is.
var (
	// ErrTaskNotFound: no record has this ref_id; it never existed, has expired or was deleted. Or it is a call of another
	// namespace than the one that was looked in.
	ErrTaskNotFound = errors.New("task not found")
	// ErrNotFailed: only failed tasks can be retried by hand.
	ErrNotFailed = errors.New("task has not failed")
	// ErrRetriesExhausted: the task failed and its budget of retries is used up.
	ErrRetriesExhausted = errors.New("retries exhausted: use a fresh budget (FreshBudget, --fresh, ?fresh=true)")
	// ErrNotCancellable: the task has already ended.
	ErrNotCancellable = errors.New("task has already ended")
	// ErrInFlight: the task must end before it can be deleted.
	ErrInFlight = errors.New("task is in flight: cancel it first")
	// ErrArgsTooLarge: the arguments of a call exceed max_args; nothing was written.
	ErrArgsTooLarge = errors.New("arguments are too large")
	// ErrInvalidRef: the text is no ref_id.
	ErrInvalidRef = errors.New("invalid ref_id")
	// ErrUnreadable: the task's record is damaged, or was written by a newer refq.
	ErrUnreadable = errors.New("unreadable record")
	// ErrNotCached: nothing on record answers a call that may only read.
	ErrNotCached = errors.New("not cached")
	// ErrKeyConflict: the call's key is in flight or complete under other arguments; nothing was written.
	ErrKeyConflict = errors.New("the key is taken by other arguments")
	// ErrTooManyWaiting: as many calls of the key wait as its gate allows ([Gate].MostWaiting); nothing was written.
	ErrTooManyWaiting = errors.New("too many calls of the key wait for their turn: call again later")
	// ErrNotQueued: the call is on record, but no worker could be told of it.
	ErrNotQueued = errors.New("stored, not queued; calling again or a worker's sweep queues it")
)

// Coded gives an error a code for programs to go by, such as "quota.exceeded": at most 64 of a-z 0-9 _ . and -. A function
// returns it, wrapped or not, and callers read it with [CodeOf]. With any other code the error stands without one, and
// says so. A nil err gives nil.
func Coded(code string, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{err, code}
}

type codedError struct {
	error
	code string
}

func (e *codedError) Unwrap() error  { return e.error }
func (e *codedError) ofRefq() string { return e.code }

// CodeOf returns the code of an error: that of [Coded] or worker.Fail, and of a *TaskError the one that the function gave.
// It is empty if there is none.
func CodeOf(err error) string {
	if coded, ok := errors.AsType[interface {
		error
		ofRefq() string // no error of somebody else has it
	}](err); ok {
		return coded.ofRefq()
	}
	return ""
}

// TaskError says that the call itself ended without a result: its function failed on a worker, or it was cancelled.
// Any other error of a call means that refq could not find out.
type TaskError struct {
	Info TaskInfo // the task as it was read when the error was made
	// Refresh: it was a refresh that ended so. The call is complete, with the result that it had before.
	Refresh bool
	// Code is what programs may go by: that of [Coded] or worker.Fail. Empty: the function gave none.
	Code string
	// Details are those of worker.Fail, JSON of at most 4 KiB. Nil: there are none.
	Details json.RawMessage
}

func (e *TaskError) ofRefq() string { return e.Code }

// Error names the function, the ref_id, the status, and for a failed task its last error.
func (e *TaskError) Error() string {
	i := e.Info
	if e.Refresh && i.StaleReason == StaleCancelled {
		return fmt.Sprintf("refresh of call %s of %s was cancelled, its old result stays", i.RefID, i.Func)
	}
	if e.Refresh {
		return fmt.Sprintf("refresh of call %s of %s failed, its old result stays: %s", i.RefID, i.Func, i.Error)
	}
	if i.Status == Cancelled {
		return fmt.Sprintf("call %s of %s was cancelled", i.RefID, i.Func)
	}
	tries := "1 attempt"
	if i.Attempt != 1 {
		tries = fmt.Sprintf("%d attempts", i.Attempt)
	}
	return fmt.Sprintf("call %s of %s failed after %s: %s", i.RefID, i.Func, tries, i.LastError)
}
