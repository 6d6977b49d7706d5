package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// failsWith makes a call of a function that ends so, and returns the error that its caller gets.
func (w *house) failsWith(err error) *refcache.TaskError {
	w.Helper()
	f := work
	f.Retry.MaxRetries = refcache.NoRetries
	host := w.Start(worker.Config{}, world.Handles(f, func(context.Context, string) (string, error) { return "", err }))
	_, got := w.call(f, fmt.Sprint(err))
	host.Stop()
	failed, ok := errors.AsType[*refcache.TaskError](got)
	require.True(w, ok, "%v", got)
	return failed
}

func TestErrorsHaveACodeForPrograms(t *testing.T) {
	inHouse(t, func(w *house) {
		for name, c := range map[string]struct {
			err           error
			code, details string
			text          string
		}{
			"coded":           {fmt.Errorf("charge: %w", refcache.Coded("quota.exceeded", errors.New("too much"))), "quota.exceeded", "", "charge: too much"},
			"permanent":       {worker.Permanent(refcache.Coded("no_such-card", errors.New("gone"))), "no_such-card", "", "gone"},
			"fail":            {worker.Fail("busy", "come back", map[string]int{"after": 1}), "busy", `{"after":1}`, "come back"},
			"fail, no detail": {worker.Fail("busy", "come again", nil), "busy", "", "come again"},
			"plain":           {errors.New("plain"), "", "", "plain"},
			"bad code": {refcache.Coded("No Code", errors.New("bad")), "", "",
				`bad (its code "No Code" is left out: use at most 64 of a-z 0-9 _ . and -)`},
			"long details": {worker.Fail("big", "long", strings.Repeat("x", 5000)), "big", "",
				"long (its details are left out: 5002 bytes, more than 4096)"},
		} {
			failed := w.failsWith(c.err)
			require.Equal(w, c.code, failed.Code, name)
			require.Equal(w, c.code, refcache.CodeOf(fmt.Errorf("wrapped: %w", failed)), name)
			require.Equal(w, c.details, string(failed.Details), name)
			require.Equal(w, c.text, failed.Info.LastError, name)
			require.Equal(w, []string{c.code, c.details}, []string{failed.Info.ErrorCode, string(failed.Info.ErrorDetails)}, name)
			require.Equal(w, c.code, failed.Info.RetryHistory[0].Code, name)
			res, err := w.p.Get(w.Context(), failed.Info.RefID)
			require.NoError(w, err)
			require.Equal(w, []string{c.code, c.details}, []string{res.ErrorCode, string(res.ErrorDetails)}, name)
			require.NoError(w, w.p.Delete(w.Context(), failed.Info.RefID))
		}
		require.Contains(w, w.failsWith(worker.Fail("bad", "chan", make(chan int))).Info.LastError, "its details are left out: encode chan int")
	})
}

// What a function says of its error is its own code, and may do anything.
func TestDetailsThatCannotBeMadeCostNothingElse(t *testing.T) {
	inHouse(t, func(w *house) {
		failed := w.failsWith(worker.Fail("long", "no", badDetails(strings.Repeat("x", 20_000))))
		require.Equal(w, "long", failed.Code)
		require.Contains(w, failed.Info.LastError, "no (its details are left out: ")
		require.Less(w, len(failed.Info.LastError), 1000)
		failed = w.failsWith(worker.Fail("panics", "other", badDetails("")))
		require.Contains(w, failed.Info.LastError, "panic: details")
		require.Equal(w, refcache.CausePanic, failed.Info.ErrorCause)
	})
}

// badDetails cannot be encoded: the error is the text; if that is empty, it panics.
type badDetails string

func (d badDetails) MarshalJSON() ([]byte, error) {
	if d == "" {
		panic("details")
	}
	return nil, errors.New(string(d))
}

// Other libraries have codes of their own, which mean something else.
func TestCodesOfOtherLibrariesAreNotTaken(t *testing.T) {
	inHouse(t, func(w *house) {
		failed := w.failsWith(fmt.Errorf("read: %w", foreign{}))
		require.Empty(w, failed.Code)
		require.Equal(w, "read: no such key", failed.Info.LastError)
	})
}

type foreign struct{}

func (foreign) Error() string     { return "no such key" }
func (foreign) ErrorCode() string { return "NoSuchKey" }

func TestOfAPanicTheErrorHasALineAndTheHistoryTheStack(t *testing.T) {
	inHouse(t, func(w *house) {
		f := work
		f.Retry.MaxRetries = refcache.NoRetries
		w.Start(worker.Config{}, world.Handles(f, func(context.Context, string) (string, error) { panic("oh\nno") }))
		_, err := w.call(f, "in")
		failed, _ := errors.AsType[*refcache.TaskError](err)
		require.Equal(w, "panic: oh", failed.Info.LastError)
		require.Contains(w, failed.Info.RetryHistory[0].Error, "fail_test.go")
		res, err := w.p.Get(w.Context(), failed.Info.RefID)
		require.NoError(w, err)
		require.Equal(w, "panic: oh", res.Error)
	})
}

func TestNoErrorHasNoCode(t *testing.T) {
	require.NoError(t, refcache.Coded("x", nil))
	require.Empty(t, refcache.CodeOf(nil))
	require.Empty(t, refcache.CodeOf(errors.New("plain")))
}
