package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

const unknown = refcache.Ref("default:00000000000000000000000000000000")

// failNow is echo whose first failure is final, with a budget left or without.
func failNow(w *world, budgetLeft bool) refcache.Ref {
	w.Helper()
	f := echo
	if !budgetLeft {
		f = once(echo)
	}
	_, err := w.call(f, "hi")
	return taskError(w, err).RefID
}

func TestRetryByHandNeedsOnlyTheRefID(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{worker.Permanent(errDown), nil}}
		w.start(s.of(echo))
		ref := failNow(w, true)
		stranger := w.admin("bob@phone")
		res, err := stranger.Retry(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, refcache.Pending, res.Status)
		require.Equal(w, 1, res.RetryCount, "it spends one of the retries that were left")

		done, err := w.p.Wait(w.Context(), ref)
		require.NoError(w, err)
		require.JSONEq(w, `"hi!"`, string(done.Value))
		info := w.info(ref)
		require.Equal(w, 1, info.Cycle)
		require.Equal(w, 2, info.Attempt)
		require.Len(w, info.Events, 1)
		require.Equal(w, refcache.EventRetry, info.Events[0].Kind)
		require.Equal(w, "bob@phone", info.Events[0].By)
	})
}

func TestExhaustedTaskNeedsAFreshBudget(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, errDown, nil}}
		w.start(s.of(echo))
		f := echo
		f.Retry.MaxRetries = 1
		_, err := producer.Call(w.Context(), w.p, f, "hi")
		ref := taskError(w, err).RefID
		res, err := w.a.Retry(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrRetriesExhausted)
		require.ErrorContains(w, err, "FreshBudget")
		require.Equal(w, refcache.Failed, res.Status)

		res, err = w.a.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		require.Zero(w, res.RetryCount)
		ended, err := producer.Wait(w.Context(), w.p, f, ref)
		require.NoError(w, err)
		require.Equal(w, "hi!", ended.Value)
		info := w.info(ref)
		require.Equal(w, 2, info.Cycle)
		require.Equal(w, 1, info.MaxRetries, "the policy stays")
		require.Equal(w, []int{1, 1}, []int{info.RetryHistory[0].Cycle, info.RetryHistory[1].Cycle})
	})
}

func TestEachRefusalSaysWhy(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit(echo, "hi") // no worker: pending
		_, retry := w.a.Retry(w.Context(), ref)
		require.ErrorIs(w, retry, refcache.ErrNotFailed)
		require.ErrorContains(w, retry, "it is pending")
		require.ErrorIs(w, w.a.Delete(w.Context(), ref), refcache.ErrInFlight)

		require.NoError(w, w.a.Cancel(w.Context(), ref))
		require.NoError(w, w.a.Cancel(w.Context(), ref), "cancelled is what was wanted")
		_, retry = w.a.Retry(w.Context(), ref)
		require.ErrorIs(w, retry, refcache.ErrNotFailed)

		var s script
		w.start(s.of(echo))
		_, err := producer.Call(w.Context(), w.p, echo, "hi") // a cancelled call is made anew
		require.NoError(w, err)
		require.ErrorIs(w, w.a.Cancel(w.Context(), ref), refcache.ErrNotCancellable)
		require.NoError(w, w.a.Delete(w.Context(), ref))
		require.ErrorIs(w, w.a.Delete(w.Context(), ref), refcache.ErrTaskNotFound)
	})
}

func TestEveryVerbKnowsUnknownAndInvalidRefs(t *testing.T) {
	inWorld(t, func(w *world) {
		verbs := map[string]func(ref refcache.Ref) error{
			"Get":      func(ref refcache.Ref) error { _, err := w.p.Get(w.Context(), ref); return err },
			"GetAs":    func(ref refcache.Ref) error { _, err := producer.Get(w.Context(), w.p, echo, ref); return err },
			"Wait":     func(ref refcache.Ref) error { _, err := producer.Wait(w.Context(), w.p, echo, ref); return err },
			"p.Wait":   func(ref refcache.Ref) error { _, err := w.p.Wait(w.Context(), ref); return err },
			"TaskInfo": func(ref refcache.Ref) error { _, err := w.p.Info(w.Context(), ref); return err },
			"Task":     func(ref refcache.Ref) error { _, err := w.a.Task(w.Context(), ref); return err },
			"p.Retry":  func(ref refcache.Ref) error { _, err := w.p.Retry(w.Context(), ref); return err },
			"p.Cancel": func(ref refcache.Ref) error { return w.p.Cancel(w.Context(), ref) },
			"p.Delete": func(ref refcache.Ref) error { return w.p.Delete(w.Context(), ref) },
			"Retry":    func(ref refcache.Ref) error { _, err := w.a.Retry(w.Context(), ref); return err },
			"Cancel":   func(ref refcache.Ref) error { return w.a.Cancel(w.Context(), ref) },
			"Delete":   func(ref refcache.Ref) error { return w.a.Delete(w.Context(), ref) },
		}
		for name, verb := range verbs {
			require.ErrorIs(w, verb(unknown), refcache.ErrTaskNotFound, name)
			require.ErrorIs(w, verb("default:xyz"), refcache.ErrInvalidRef, name)
			require.ErrorIs(w, verb(""), refcache.ErrInvalidRef, name)
		}
		keys, err := w.rdb.Keys(w.Context(), "*").Result()
		require.NoError(w, err)
		require.Empty(w, keys, "asking writes nothing")
	})
}

func TestOfTwoPeopleWhoRetryOneWins(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{worker.Permanent(errDown), nil}}
		w.start(s.of(echo))
		ref := failNow(w, true)
		errs := make(chan error, 2)
		for range 2 {
			a := w.admin("bob@phone")
			go func() {
				_, err := a.Retry(w.Context(), ref, admin.FreshBudget())
				errs <- err
			}()
		}
		first, second := <-errs, <-errs
		if first != nil {
			first, second = second, first
		}
		require.NoError(w, first)
		require.ErrorIs(w, second, refcache.ErrNotFailed)
		w.until(ref, refcache.Complete)
		require.EqualValues(w, 2, s.runs.Load())
	})
}

func TestCanRetryAndExhaustedInEveryStatus(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, nil}, hold: make(chan struct{})}
		check := func(ref refcache.Ref, status refcache.Status, canRetry, exhausted bool) {
			w.Helper()
			info := w.until(ref, status)
			res, err := w.p.Get(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, []bool{canRetry, exhausted, canRetry, exhausted},
				[]bool{info.CanRetry, info.Exhausted, res.CanRetry, res.Exhausted}, status)
			require.Equal(w, status == refcache.Failed, res.Error != "", "error is null unless failed")
		}
		ref := w.submit(echo, "hi")
		check(ref, refcache.Pending, false, false)
		w.start(s.of(echo))
		check(ref, refcache.Processing, false, false)
		s.hold <- struct{}{}
		check(ref, refcache.Retrying, false, false)
		s.hold <- struct{}{}
		check(ref, refcache.Complete, false, false)

		other := w.submit(echo, "ho")
		w.until(other, refcache.Processing)
		require.NoError(w, w.a.Cancel(w.Context(), other))
		check(other, refcache.Cancelled, false, false)
	})
	t.Run("failed", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := script{errs: []error{worker.Permanent(errDown)}}
			w.start(s.of(echo))
			left := w.info(failNow(w, true))
			require.True(w, left.CanRetry)
			require.False(w, left.Exhausted)
			none := echo
			none.Retry.MaxRetries = refcache.NoRetries
			_, err := producer.Call(w.Context(), w.p, none, "ho")
			exhausted := taskError(w, err)
			require.False(w, exhausted.CanRetry)
			require.True(w, exhausted.Exhausted)
		})
	})
}

func TestHistoryKeepsTheLastHundredAttemptsAndCountsAll(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown}}
		w.start(s.of(echo))
		f := echo
		f.AsyncTimeout = time.Hour
		f.Retry = refcache.RetryPolicy{MaxRetries: 103, Delay: -1}
		_, err := producer.Call(w.Context(), w.p, f, "hi")
		info := taskError(w, err)
		require.Equal(w, 104, info.AttemptsTotal)
		require.Len(w, info.RetryHistory, 100)
		for i, a := range info.RetryHistory {
			require.Equal(w, i+5, a.Attempt, "oldest first")
		}
	})
}

func TestRetryByHandSpendsTheBudget(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{worker.Permanent(errDown)}}
		w.start(s.of(echo))
		ref := failNow(w, true)
		for n := range 3 {
			res, err := w.a.Retry(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, n+1, res.RetryCount)
			w.until(ref, refcache.Failed)
		}
		_, err := w.a.Retry(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrRetriesExhausted)
		info := w.info(ref)
		require.Equal(w, []int{1, 4, 3}, []int{info.Cycle, info.Attempt, info.RetryCount})
		require.Equal(w, 3, info.EventsTotal)
	})
}

func TestRetriedTaskNoLongerExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, nil}, hold: make(chan struct{})}
		w.start(s.of(echo))
		f := once(echo)
		f.FailureTTL = 5 * time.Second
		ref := w.submit(f, "hi")
		s.hold <- struct{}{}
		require.NotNil(w, w.until(ref, refcache.Failed).ExpiresAt)
		_, err := w.a.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		time.Sleep(10 * time.Second)
		info := w.info(ref)
		require.Equal(w, refcache.Processing, info.Status)
		require.Nil(w, info.ExpiresAt)
		require.Nil(w, info.CompletedAt)
		require.Empty(w, info.Error)
		s.hold <- struct{}{}
		w.until(ref, refcache.Complete)
	})
}

func TestRetriedTaskThatCouldNotBeQueuedIsAccepted(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{worker.Permanent(errDown), nil}}
		w.start(s.of(echo))
		ref := failNow(w, true)
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		})
		res, err := w.a.Retry(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrNotQueued)
		require.Equal(w, refcache.Pending, res.Status)
		w.server.SetFaults(nil)
		w.until(ref, refcache.Complete) // a sweep has seen to it
	})
}

func TestRefusedRetryNamesTheStatus(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, nil}, hold: make(chan struct{})}
		ref := w.submit(echo, "hi")
		refused := func(status refcache.Status) {
			w.Helper()
			w.until(ref, status)
			for _, options := range [][]admin.RetryOption{nil, {admin.FreshBudget()}} {
				res, err := w.a.Retry(w.Context(), ref, options...)
				require.ErrorIs(w, err, refcache.ErrNotFailed)
				require.EqualError(w, err, "retry "+string(ref)+": task has not failed: it is "+string(status))
				require.Equal(w, status, res.Status)
			}
		}
		refused(refcache.Pending)
		w.start(s.of(echo))
		refused(refcache.Processing)
		s.hold <- struct{}{}
		refused(refcache.Retrying)
		s.hold <- struct{}{}
		refused(refcache.Complete)
		require.NoError(w, w.a.Delete(w.Context(), ref))
		w.submit(echo, "hi")
		require.NoError(w, w.a.Cancel(w.Context(), ref))
		refused(refcache.Cancelled)
	})
}

func TestHistoryGoesThroughTheCyclesInOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, errDown, worker.Permanent(errDown), errDown, nil}}
		w.start(s.of(echo))
		f := echo
		f.Retry.MaxRetries = 1
		_, err := w.call(f, "hi")
		ref := taskError(w, err).RefID
		_, err = w.a.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		w.until(ref, refcache.Failed) // for good, with its budget left
		bob := w.admin("bob@phone")
		_, err = bob.Retry(w.Context(), ref)
		require.NoError(w, err)
		w.until(ref, refcache.Failed)
		_, err = w.call(f, "hi", producer.RetryFailed())
		require.NoError(w, err)

		info := w.info(ref)
		var attempts [][2]int
		for i, a := range info.RetryHistory {
			attempts = append(attempts, [2]int{a.Cycle, a.Attempt})
			if i > 0 {
				require.False(w, a.Timestamp.Before(info.RetryHistory[i-1].Timestamp))
			}
		}
		require.Equal(w, [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}}, attempts)
		require.Equal(w, 4, info.AttemptsTotal)
		require.Equal(w, []int{3, 1, 0}, []int{info.Cycle, info.Attempt, info.RetryCount})
		var events []string
		for _, e := range info.Events {
			events = append(events, string(e.Kind)+" by "+e.By)
		}
		require.Equal(w, []string{"fresh by ann@desk", "retry by bob@phone"}, events)
	})
}

func TestDeletedTaskIsForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, nil}}
		w.start(s.of(echo))
		ref := failNow(w, false)
		require.NoError(w, w.a.Delete(w.Context(), ref))
		_, err := w.p.Get(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		require.Empty(w, w.list(admin.Filter{}))
		res, err := w.call(echo, "hi")
		require.NoError(w, err)
		require.Equal(w, ref, res.RefID)
		info := w.info(ref)
		require.Equal(w, 1, info.Cycle)
		require.Empty(w, info.RetryHistory)
	})
}

func TestTaskInFlightIsNotDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, nil}, hold: make(chan struct{})}
		ref := w.submit(echo, "hi")
		refused := func(status refcache.Status) {
			w.Helper()
			w.until(ref, status)
			require.EqualError(w, w.a.Delete(w.Context(), ref), "delete "+string(ref)+": task is in flight: cancel it first")
		}
		refused(refcache.Pending)
		w.start(s.of(echo))
		refused(refcache.Processing)
		s.hold <- struct{}{}
		refused(refcache.Retrying)
		s.hold <- struct{}{}
		w.until(ref, refcache.Complete)
		require.NoError(w, w.a.Delete(w.Context(), ref))
	})
}

func TestEndedTaskIsNotCancelled(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, nil}}
		w.start(s.of(echo))
		failed := failNow(w, false)
		require.EqualError(w, w.a.Cancel(w.Context(), failed), "cancel "+string(failed)+": task has already ended: it is failed")
		res, err := w.call(echo, "ho")
		require.NoError(w, err)
		require.ErrorIs(w, w.a.Cancel(w.Context(), res.RefID), refcache.ErrNotCancellable)
		require.Equal(w, refcache.Complete, w.info(res.RefID).Status)
	})
}
