package worker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// requireOnTime checks waits before retries: never early, jitter at most a tenth, at most about 2 s late.
func requireOnTime(t require.TestingT, want, got []time.Duration) {
	require.Len(t, got, len(want))
	for i, delay := range want {
		require.GreaterOrEqual(t, got[i], delay, "retry %d is early", i+1)
		require.LessOrEqual(t, got[i], delay+delay/10+2*time.Second, "retry %d is late", i+1)
	}
}

func TestFailedAttemptsAreRetriedAfterGrowingDelays(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(3)
		w.Start(worker.Config{}, world.Handles(work, flaky.run))
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, "done", res.Value)
		require.Equal(w, []int{4, 3, 3}, []int{res.Attempt, res.RetryCount, res.MaxRetries})
		requireOnTime(w, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, flaky.gaps())
	})
}

func TestTaskFailsWhenItsRetriesAreUsedUp(t *testing.T) {
	inHouse(t, func(w *house) {
		broken := failing(math.MaxInt)
		w.Start(worker.Config{}, world.Handles(work, broken.run))
		res, err := w.call(work, "in")
		info := failed(w, err)
		require.Equal(w, refcache.Failed, res.Status)
		require.True(w, res.Exhausted && info.Exhausted)
		require.False(w, res.CanRetry || info.CanRetry)
		require.Equal(w, "service is down", res.Error)
		require.Equal(w, refcache.CauseError, info.ErrorCause)
		require.Equal(w, []int{4, 3}, []int{res.Attempt, res.RetryCount})
		require.EqualError(w, err, fmt.Sprintf("call %s of work failed after 4 attempts: service is down", res.RefID))

		time.Sleep(10 * time.Second)
		require.Equal(w, 4, broken.count(), "nothing runs after the end")
	})
}

func TestHistoryTellsEachFailedAttempt(t *testing.T) {
	inHouse(t, func(w *house) {
		slow := &runs{fn: func(_ context.Context, attempt int) (string, error) {
			time.Sleep(250 * time.Millisecond)
			return "", fmt.Errorf("failure %d", attempt)
		}}
		w.Start(worker.Config{}, world.Handles(work, slow.run))
		f := work
		f.Retry.MaxRetries = 1
		f.Retry.Jitter = -1
		_, err := w.call(f, "in")
		history := failed(w, err).RetryHistory
		require.Len(w, history, 2)
		for i, a := range history {
			require.Equal(w, 1, a.Cycle)
			require.Equal(w, i+1, a.Attempt)
			require.Equal(w, fmt.Sprintf("failure %d", i+1), a.Error)
			require.Equal(w, refcache.CauseError, a.Cause)
			require.Equal(w, slow.at(i+1).UnixMilli(), a.StartedAt.UnixMilli())
			require.Equal(w, 250*time.Millisecond, a.Duration)
			require.Equal(w, a.StartedAt.Add(a.Duration), a.Timestamp)
			require.NotEmpty(w, a.Worker)
		}
		require.Equal(w, time.Second, history[0].Delay)
		require.Zero(w, history[1].Delay, "nothing follows the last attempt")
	})
}

func TestNoRetriesMakesTheFirstFailureFinal(t *testing.T) {
	inHouse(t, func(w *house) {
		broken := failing(math.MaxInt)
		w.Start(worker.Config{}, world.Handles(work, broken.run))
		f := work
		f.Retry.MaxRetries = refcache.NoRetries
		res, err := w.call(f, "in")
		require.True(w, failed(w, err).Exhausted)
		require.Equal(w, []int{1, 0, 0}, []int{res.Attempt, res.RetryCount, res.MaxRetries})
		require.ErrorContains(w, err, "failed after 1 attempt: ")
		require.Equal(w, 1, broken.count())
	})
}

func TestPolicyIsThatOfTheCallNotOfTheWorker(t *testing.T) {
	inHouse(t, func(w *house) {
		broken := failing(math.MaxInt)
		w.Start(worker.Config{}, world.Handles(work, broken.run))
		f := work
		f.Retry = refcache.RetryPolicy{MaxRetries: 2, Delay: 3 * time.Second, BackoffFactor: 1, Jitter: -1}
		_, err := w.call(f, "in")
		require.True(w, failed(w, err).Exhausted)
		require.Zero(w, work.Retry, "a copy was changed")
		requireOnTime(w, []time.Duration{3 * time.Second, 3 * time.Second}, broken.gaps())
	})
}

func TestDelayIsCapped(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(3)
		w.Start(worker.Config{}, world.Handles(work, flaky.run))
		f := work
		f.Retry = refcache.RetryPolicy{BackoffFactor: 10, MaxDelay: 2 * time.Second, Jitter: -1}
		_, err := w.call(f, "in")
		require.NoError(w, err)
		requireOnTime(w, []time.Duration{time.Second, 2 * time.Second, 2 * time.Second}, flaky.gaps())
	})
}

func TestRetryWithoutDelayFollowsAtOnce(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(2)
		w.Start(worker.Config{}, world.Handles(work, flaky.run))
		f := work
		f.Retry.Delay = -1
		_, err := w.call(f, "in")
		require.NoError(w, err)
		requireOnTime(w, []time.Duration{0, 0}, flaky.gaps())
	})
}

func TestRetryingTaskTellsWhenItsRetryIsDue(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(1)
		w.Start(worker.Config{}, world.Handles(work, flaky.run))
		f := work
		f.Retry = refcache.RetryPolicy{Delay: 10 * time.Second, Jitter: -1}
		f.AsyncTimeout = 2 * time.Second
		res, err := w.call(f, "in")
		require.NoError(w, err, "in flight is no error")
		require.Equal(w, refcache.Retrying, res.Status)
		require.True(w, res.IsAsync)
		require.Equal(w, 1, res.RetryCount, "counted when it is scheduled")
		require.Equal(w, flaky.at(1).Add(10*time.Second).UnixMilli(), res.NextRetryAt.UnixMilli())
		require.Empty(w, res.Error, "it has not failed for good")
		require.Equal(w, "service is down", w.info(res.RefID).LastError)
		require.Equal(w, "attempt 1 failed, retry 1 of 3 follows", res.Message)

		res, err = w.call(work, "in")
		require.NoError(w, err)
		require.Nil(w, res.NextRetryAt)
		requireOnTime(w, []time.Duration{10 * time.Second}, flaky.gaps())
	})
}

func TestPermanentErrorFailsAtOnce(t *testing.T) {
	inHouse(t, func(w *house) {
		broken := &runs{fn: func(context.Context, int) (string, error) {
			return "", fmt.Errorf("read order: %w", worker.Permanent(errors.New("no such order")))
		}}
		w.Start(worker.Config{}, world.Handles(work, broken.run))
		_, err := w.call(work, "in")
		info := failed(w, err)
		require.Equal(w, "read order: no such order", info.Error)
		require.Equal(w, 1, info.Attempt)
		require.True(w, info.CanRetry, "the budget is still there for a person to spend")
		require.False(w, info.Exhausted)
		require.Equal(w, 1, broken.count())
	})
}

func TestRetryAfterIsNeitherCappedNorJittered(t *testing.T) {
	inHouse(t, func(w *house) {
		limited := &runs{fn: func(_ context.Context, attempt int) (string, error) {
			if attempt == 1 {
				return "", fmt.Errorf("ask: %w", worker.RetryAfter(errors.New("429"), 7*time.Second))
			}
			return "done", nil
		}}
		w.Start(worker.Config{}, world.Handles(work, limited.run))
		f := work
		f.Retry = refcache.RetryPolicy{MaxDelay: 2 * time.Second, Jitter: 1}
		res, err := w.call(f, "in")
		require.NoError(w, err)
		requireOnTime(w, []time.Duration{7 * time.Second}, limited.gaps())
		history := w.info(res.RefID).RetryHistory
		require.Equal(w, 7*time.Second, history[0].Delay)
		require.Equal(w, "ask: 429", history[0].Error)
	})
}

func TestRetryAfterOverridesTheNamedBackoff(t *testing.T) {
	inHouse(t, func(w *house) {
		limited := &runs{fn: func(_ context.Context, attempt int) (string, error) {
			if attempt == 1 {
				return "", worker.RetryAfter(errors.New("429"), -time.Second)
			}
			return "done", nil
		}}
		hourly := func(int, error) time.Duration { return time.Hour }
		w.Start(worker.Config{Backoffs: map[string]func(int, error) time.Duration{"hourly": hourly}}, world.Handles(work, limited.run))
		f := work
		f.Retry.Backoff = "hourly"
		_, err := w.call(f, "in")
		require.NoError(w, err)
		requireOnTime(w, []time.Duration{0}, limited.gaps())
	})
}

func TestRetryAfterSpendsTheBudget(t *testing.T) {
	inHouse(t, func(w *house) {
		limited := &runs{fn: func(context.Context, int) (string, error) {
			return "", worker.RetryAfter(errors.New("429"), 0)
		}}
		w.Start(worker.Config{}, world.Handles(work, limited.run))
		_, err := w.call(work, "in")
		require.True(w, failed(w, err).Exhausted)
		require.Equal(w, 4, limited.count())
	})
}

func TestLongestRetryAfterIsStillToCome(t *testing.T) {
	inHouse(t, func(w *house) {
		limited := &runs{fn: func(context.Context, int) (string, error) {
			return "", worker.RetryAfter(errors.New("429"), math.MaxInt64)
		}}
		w.Start(worker.Config{}, world.Handles(work, limited.run))
		ref := w.submit(work, "in")
		time.Sleep(5 * time.Second)
		info := w.info(ref)
		require.Equal(w, refcache.Retrying, info.Status)
		require.GreaterOrEqual(w, info.NextRetryAt.Year(), 2099)
		require.Equal(w, 1, limited.count())
	})
}

func TestNoErrorMakesNoError(t *testing.T) {
	t.Parallel()
	require.NoError(t, worker.Permanent(nil))
	require.NoError(t, worker.RetryAfter(nil, time.Second))
	require.ErrorIs(t, worker.Permanent(errDown), errDown)
	require.ErrorIs(t, worker.RetryAfter(errDown, time.Second), errDown)
}
