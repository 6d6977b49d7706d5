package worker_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// once runs fn in the first attempt; the second one succeeds.
func once(fn func() (string, error)) *runs {
	return &runs{fn: func(_ context.Context, attempt int) (string, error) {
		if attempt == 1 {
			return fn()
		}
		return "done", nil
	}}
}

// afterOneFailure runs fn, then a second attempt, and returns what the history keeps of the first.
func (w *house) afterOneFailure(fn func() (string, error)) refcache.Attempt {
	w.Helper()
	// With one slot, the second attempt shows that the first gave it back.
	w.Start(worker.Config{Concurrency: 1}, world.Handles(work, once(fn).run))
	res, err := w.call(work, "in")
	require.NoError(w, err)
	require.Equal(w, "done", res.Value)
	history := w.info(res.RefID).RetryHistory
	require.Len(w, history, 1)
	return history[0]
}

func TestPanicIsAFailedAttemptWithItsStack(t *testing.T) {
	inHouse(t, func(w *house) {
		attempt := w.afterOneFailure(func() (string, error) { panic("no such page") })
		require.Equal(w, refcache.CausePanic, attempt.Cause)
		require.True(w, strings.HasPrefix(attempt.Error, "panic: no such page\n\ngoroutine "), attempt.Error)
		require.Contains(w, attempt.Error, "worker/failure_test.go:")
	})
}

func TestGoexitIsAFailedAttempt(t *testing.T) {
	inHouse(t, func(w *house) {
		attempt := w.afterOneFailure(func() (string, error) {
			runtime.Goexit()
			return "", nil
		})
		require.Equal(w, refcache.CausePanic, attempt.Cause)
		require.Equal(w, "function ended its goroutine", attempt.Error)
	})
}

type hollow struct{ text string }

func (h *hollow) Error() string { return h.text }

func TestErrorThatCannotBeReadIsAPanic(t *testing.T) {
	inHouse(t, func(w *house) {
		attempt := w.afterOneFailure(func() (string, error) {
			var none *hollow
			return "", none // not nil: a common slip
		})
		require.Equal(w, refcache.CausePanic, attempt.Cause)
		require.Contains(w, attempt.Error, "panic: runtime error: invalid memory address")
	})
}

func TestLongErrorIsCutTo8KiBOfText(t *testing.T) {
	inHouse(t, func(w *house) {
		attempt := w.afterOneFailure(func() (string, error) {
			return "", errors.New("x" + strings.Repeat("ü", 8<<10) + "\xff")
		})
		require.LessOrEqual(w, len(attempt.Error), 8<<10)
		require.Greater(w, len(attempt.Error), 8<<10-5)
		require.Equal(w, strings.ToValidUTF8(attempt.Error, "?"), attempt.Error)
		require.True(w, strings.HasSuffix(attempt.Error, "ü…"))
	})
}

func TestDeepStackIsCutTo8KiB(t *testing.T) {
	inHouse(t, func(w *house) {
		var dive func(n int)
		dive = func(n int) {
			if n == 0 {
				panic("deep")
			}
			dive(n - 1)
		}
		attempt := w.afterOneFailure(func() (string, error) {
			dive(500)
			return "", nil
		})
		require.LessOrEqual(w, len(attempt.Error), 8<<10)
		require.Contains(w, attempt.Error, "panic: deep")
	})
}

func TestErrorTextIsMadeValid(t *testing.T) {
	inHouse(t, func(w *house) {
		attempt := w.afterOneFailure(func() (string, error) { return "", errors.New("bad \xff byte\x00") })
		require.Equal(w, "bad � byte\x00", attempt.Error)
	})
}

func TestArgumentsThatDoNotFitFailForGood(t *testing.T) {
	inHouse(t, func(w *house) {
		numbers := refcache.Func[int, string]{Name: work.Name}
		called := false
		w.Start(worker.Config{}, world.Handles(numbers, func(context.Context, int) (string, error) {
			called = true
			return "", nil
		}))
		_, err := w.call(work, "seven")
		info := failed(w, err)
		require.Contains(w, info.Error, "arguments do not fit work@1: ")
		require.Equal(w, 1, info.Attempt)
		require.True(w, info.CanRetry, "a corrected worker may have it again")
		require.False(w, called)
	})
}

func TestResultsThatAreNoJSONFailForGood(t *testing.T) {
	inHouse(t, func(w *house) {
		floats := refcache.Func[string, float64]{Name: "floats", AsyncTimeout: time.Minute}
		w.Start(worker.Config{}, world.Handles(floats, func(context.Context, string) (float64, error) { return math.NaN(), nil }))
		_, err := producer.Call(w.Context(), w.p, floats, "in")
		info := failed(w, err)
		require.Contains(w, info.Error, "result of floats@1 cannot be written as JSON: ")
		require.Equal(w, 1, info.Attempt)
	})
}

func TestResultOverTheLimitFailsForGood(t *testing.T) {
	inHouse(t, func(w *house) {
		long := func(_ context.Context, in string) (string, error) { return strings.Repeat(in, 998), nil }
		w.Start(worker.Config{MaxResult: 1000}, world.Handles(work, long))
		res, err := w.call(work, "x")
		require.NoError(w, err, "998 characters and two quotes")
		require.Len(w, res.Value, 998)

		_, err = w.call(work, "xy")
		info := failed(w, err)
		require.Equal(w, "result has 1998 bytes, more than max_result 1000", info.Error)
		require.Equal(w, 1, info.Attempt)
	})
}

func TestLongResultsComeBackWhole(t *testing.T) {
	inHouse(t, func(w *house) {
		long := func(_ context.Context, in string) (string, error) { return strings.Repeat(in, 100_000), nil }
		w.Start(worker.Config{}, world.Handles(work, long))
		res, err := w.call(work, "ab")
		require.NoError(w, err)
		require.Equal(w, strings.Repeat("ab", 100_000), res.Value)
		stored := w.Redis.HStrLen(w.Context(), "refq:{default}:t:"+res.RefID.Hash(), "result").Val()
		require.Less(w, stored, int64(10_000), "over 1 KiB it is kept compressed")
	})
}
