package admin_test

import (
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

const unknown = refcache.Ref("default:00000000000000000000000000000000")

// failNow is echo whose first failure is final, with a budget left or without.
func failNow(w *office, budgetLeft bool) refcache.Ref {
	w.Helper()
	f := kit.Echo
	if !budgetLeft {
		f = kit.Once(kit.Echo)
	}
	_, err := w.Call(f, "hi")
	return kit.TaskError(w, err).RefID
}

func TestRetryByHandNeedsOnlyTheRefID(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown), nil}}
		w.Work(s.Of(kit.Echo))
		ref := failNow(w, true)
		stranger := w.AdminAs("bob@phone")
		res, err := stranger.Retry(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, refcache.Pending, res.Status)
		require.Equal(w, 1, res.RetryCount, "it spends one of the retries that were left")

		done, err := w.P.Wait(w.Context(), ref)
		require.NoError(w, err)
		require.JSONEq(w, `"hi!"`, string(done.Value))
		info := w.Info(ref)
		require.Equal(w, 1, info.Cycle)
		require.Equal(w, 2, info.Attempt)
		require.Len(w, info.Events, 1)
		require.Equal(w, refcache.EventRetry, info.Events[0].Kind)
		require.Equal(w, "bob@phone", info.Events[0].By)
	})
}

func TestExhaustedTaskNeedsAFreshBudget(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, kit.ErrDown, nil}}
		f := kit.Echo
		f.Retry.MaxRetries = 1
		w.Work(s.Of(f))
		_, err := producer.Call(w.Context(), w.P, f, "hi")
		ref := kit.TaskError(w, err).RefID
		res, err := w.A.Retry(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrRetriesExhausted)
		require.ErrorContains(w, err, "FreshBudget")
		require.Equal(w, refcache.Failed, res.Status)

		res, err = w.A.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		require.Zero(w, res.RetryCount)
		ended, err := producer.Wait(w.Context(), w.P, f, ref)
		require.NoError(w, err)
		require.Equal(w, "hi!", ended.Value)
		info := w.Info(ref)
		require.Equal(w, 2, info.Cycle)
		require.Equal(w, 1, info.MaxRetries)
		require.Equal(w, []int{1, 1}, []int{info.RetryHistory[0].Cycle, info.RetryHistory[1].Cycle})
	})
}

func TestEachRefusalSaysWhy(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "hi") // no worker: pending
		_, retry := w.A.Retry(w.Context(), ref)
		require.ErrorIs(w, retry, refcache.ErrNotFailed)
		require.ErrorContains(w, retry, "it is pending")
		require.ErrorIs(w, w.A.Delete(w.Context(), ref), refcache.ErrInFlight)

		require.NoError(w, w.A.Cancel(w.Context(), ref))
		require.NoError(w, w.A.Cancel(w.Context(), ref), "cancelled is what was wanted")
		_, retry = w.A.Retry(w.Context(), ref)
		require.ErrorIs(w, retry, refcache.ErrNotFailed)

		var s kit.Script
		w.Work(s.Of(kit.Echo))
		_, err := producer.Call(w.Context(), w.P, kit.Echo, "hi") // a cancelled call is made anew
		require.NoError(w, err)
		require.ErrorIs(w, w.A.Cancel(w.Context(), ref), refcache.ErrNotCancellable)
		require.NoError(w, w.A.Delete(w.Context(), ref))
		require.ErrorIs(w, w.A.Delete(w.Context(), ref), refcache.ErrTaskNotFound)
	})
}

func TestEveryVerbKnowsUnknownAndInvalidRefs(t *testing.T) {
	inOffice(t, func(w *office) {
		verbs := map[string]func(ref refcache.Ref) error{
			"Get":      func(ref refcache.Ref) error { _, err := w.P.Get(w.Context(), ref); return err },
			"GetAs":    func(ref refcache.Ref) error { _, err := producer.Get(w.Context(), w.P, kit.Echo, ref); return err },
			"Wait":     func(ref refcache.Ref) error { _, err := producer.Wait(w.Context(), w.P, kit.Echo, ref); return err },
			"p.Wait":   func(ref refcache.Ref) error { _, err := w.P.Wait(w.Context(), ref); return err },
			"TaskInfo": func(ref refcache.Ref) error { _, err := w.P.Info(w.Context(), ref); return err },
			"Task":     func(ref refcache.Ref) error { _, err := w.A.Task(w.Context(), ref); return err },
			"p.Retry":  func(ref refcache.Ref) error { _, err := w.P.Retry(w.Context(), ref); return err },
			"p.Cancel": func(ref refcache.Ref) error { return w.P.Cancel(w.Context(), ref) },
			"p.Delete": func(ref refcache.Ref) error { return w.P.Delete(w.Context(), ref) },
			"Retry":    func(ref refcache.Ref) error { _, err := w.A.Retry(w.Context(), ref); return err },
			"Cancel":   func(ref refcache.Ref) error { return w.A.Cancel(w.Context(), ref) },
			"Delete":   func(ref refcache.Ref) error { return w.A.Delete(w.Context(), ref) },
		}
		for name, verb := range verbs {
			require.ErrorIs(w, verb(unknown), refcache.ErrTaskNotFound, name)
			require.ErrorIs(w, verb("default:xyz"), refcache.ErrInvalidRef, name)
			require.ErrorIs(w, verb(""), refcache.ErrInvalidRef, name)
		}
		keys, err := w.Redis.Keys(w.Context(), "*").Result()
		require.NoError(w, err)
		require.Empty(w, keys, "asking writes nothing")
	})
}

func TestOfTwoPeopleWhoRetryOneWins(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown), nil}}
		w.Work(s.Of(kit.Echo))
		ref := failNow(w, true)
		errs := make(chan error, 2)
		for range 2 {
			a := w.AdminAs("bob@phone")
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
		w.Until(ref, refcache.Complete)
		require.EqualValues(w, 2, s.Runs.Load())
	})
}

func TestCanRetryAndExhaustedInEveryStatus(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}, Hold: make(chan struct{})}
		check := func(ref refcache.Ref, status refcache.Status, canRetry, exhausted bool) {
			w.Helper()
			info := w.Until(ref, status)
			res, err := w.P.Get(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, []bool{canRetry, exhausted, canRetry, exhausted},
				[]bool{info.CanRetry, info.Exhausted, res.CanRetry, res.Exhausted}, status)
			require.Equal(w, status == refcache.Failed, res.Error != "", "error is null unless failed")
		}
		ref := w.Submit(kit.Echo, "hi")
		check(ref, refcache.Pending, false, false)
		w.Work(s.Of(kit.Echo))
		check(ref, refcache.Processing, false, false)
		s.Hold <- struct{}{}
		check(ref, refcache.Retrying, false, false)
		s.Hold <- struct{}{}
		check(ref, refcache.Complete, false, false)

		other := w.Submit(kit.Echo, "ho")
		w.Until(other, refcache.Processing)
		require.NoError(w, w.A.Cancel(w.Context(), other))
		check(other, refcache.Cancelled, false, false)
	})
	t.Run("failed", func(t *testing.T) {
		inOffice(t, func(w *office) {
			s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
			w.Work(s.Of(kit.Echo))
			left := w.Info(failNow(w, true))
			require.True(w, left.CanRetry)
			require.False(w, left.Exhausted)
			none := kit.Echo
			none.Retry.MaxRetries = refcache.NoRetries
			_, err := producer.Call(w.Context(), w.P, none, "ho")
			exhausted := kit.TaskError(w, err)
			require.False(w, exhausted.CanRetry)
			require.True(w, exhausted.Exhausted)
		})
	})
}

func TestHistoryKeepsTheLastHundredAttemptsAndCountsAll(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown}}
		w.Work(s.Of(kit.Echo))
		f := kit.Echo
		f.AsyncTimeout = time.Hour
		f.Retry = refcache.RetryPolicy{MaxRetries: 103, Delay: -1}
		_, err := producer.Call(w.Context(), w.P, f, "hi")
		info := kit.TaskError(w, err)
		require.Equal(w, 104, info.AttemptsTotal)
		require.Len(w, info.RetryHistory, 100)
		for i, a := range info.RetryHistory {
			require.Equal(w, i+5, a.Attempt, "oldest first")
		}
	})
}

func TestRetryByHandSpendsTheBudget(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		ref := failNow(w, true)
		for n := range 3 {
			res, err := w.A.Retry(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, n+1, res.RetryCount)
			w.Until(ref, refcache.Failed)
		}
		_, err := w.A.Retry(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrRetriesExhausted)
		info := w.Info(ref)
		require.Equal(w, []int{1, 4, 3}, []int{info.Cycle, info.Attempt, info.RetryCount})
		require.Equal(w, 3, info.EventsTotal)
	})
}

func TestRetriedTaskNoLongerExpires(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}, Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		f := kit.Once(kit.Echo)
		f.FailureTTL = 5 * time.Second
		ref := w.Submit(f, "hi")
		s.Hold <- struct{}{}
		require.NotNil(w, w.Until(ref, refcache.Failed).ExpiresAt)
		_, err := w.A.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		time.Sleep(10 * time.Second)
		info := w.Info(ref)
		require.Equal(w, refcache.Processing, info.Status)
		require.Nil(w, info.ExpiresAt)
		require.Nil(w, info.CompletedAt)
		require.Empty(w, info.Error)
		s.Hold <- struct{}{}
		w.Until(ref, refcache.Complete)
	})
}

func TestRetriedTaskThatCouldNotBeQueuedIsAccepted(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown), nil}}
		w.Work(s.Of(kit.Echo))
		ref := failNow(w, true)
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		})
		res, err := w.A.Retry(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrNotQueued)
		require.Equal(w, refcache.Pending, res.Status)
		w.Server.SetFaults(nil)
		w.Until(ref, refcache.Complete) // a sweep has seen to it
	})
}

func TestRefusedRetryNamesTheStatus(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}, Hold: make(chan struct{})}
		ref := w.Submit(kit.Echo, "hi")
		refused := func(status refcache.Status) {
			w.Helper()
			w.Until(ref, status)
			for _, options := range [][]admin.RetryOption{nil, {admin.FreshBudget()}} {
				res, err := w.A.Retry(w.Context(), ref, options...)
				require.ErrorIs(w, err, refcache.ErrNotFailed)
				require.EqualError(w, err, "retry "+string(ref)+": task has not failed: it is "+string(status))
				require.Equal(w, status, res.Status)
			}
		}
		refused(refcache.Pending)
		w.Work(s.Of(kit.Echo))
		refused(refcache.Processing)
		s.Hold <- struct{}{}
		refused(refcache.Retrying)
		s.Hold <- struct{}{}
		refused(refcache.Complete)
		require.NoError(w, w.A.Delete(w.Context(), ref))
		w.Submit(kit.Echo, "hi")
		require.NoError(w, w.A.Cancel(w.Context(), ref))
		refused(refcache.Cancelled)
	})
}

func TestHistoryGoesThroughTheCyclesInOrder(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, kit.ErrDown, worker.Permanent(kit.ErrDown), kit.ErrDown, nil}}
		f := kit.Echo
		f.Retry.MaxRetries = 1
		w.Work(s.Of(f))
		_, err := w.Call(f, "hi")
		ref := kit.TaskError(w, err).RefID
		_, err = w.A.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		w.Until(ref, refcache.Failed) // for good, with its budget left
		bob := w.AdminAs("bob@phone")
		_, err = bob.Retry(w.Context(), ref)
		require.NoError(w, err)
		w.Until(ref, refcache.Failed)
		_, err = w.Call(f, "hi", producer.RetryFailed())
		require.NoError(w, err)

		info := w.Info(ref)
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
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}}
		w.Work(s.Of(kit.Echo))
		ref := failNow(w, false)
		require.NoError(w, w.A.Delete(w.Context(), ref))
		_, err := w.P.Get(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		require.Empty(w, w.list(admin.Filter{}))
		res, err := w.Call(kit.Echo, "hi")
		require.NoError(w, err)
		require.Equal(w, ref, res.RefID)
		info := w.Info(ref)
		require.Equal(w, 1, info.Cycle)
		require.Empty(w, info.RetryHistory)
	})
}

func TestTaskInFlightIsNotDeleted(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}, Hold: make(chan struct{})}
		ref := w.Submit(kit.Echo, "hi")
		refused := func(status refcache.Status) {
			w.Helper()
			w.Until(ref, status)
			require.EqualError(w, w.A.Delete(w.Context(), ref), "delete "+string(ref)+": task is in flight: cancel it first")
		}
		refused(refcache.Pending)
		w.Work(s.Of(kit.Echo))
		refused(refcache.Processing)
		s.Hold <- struct{}{}
		refused(refcache.Retrying)
		s.Hold <- struct{}{}
		w.Until(ref, refcache.Complete)
		require.NoError(w, w.A.Delete(w.Context(), ref))
	})
}

func TestEndedTaskIsNotCancelled(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}}
		w.Work(s.Of(kit.Echo))
		failed := failNow(w, false)
		require.EqualError(w, w.A.Cancel(w.Context(), failed), "cancel "+string(failed)+": task has already ended: it is failed")
		res, err := w.Call(kit.Echo, "ho")
		require.NoError(w, err)
		require.ErrorIs(w, w.A.Cancel(w.Context(), res.RefID), refcache.ErrNotCancellable)
		require.Equal(w, refcache.Complete, w.Info(res.RefID).Status)
	})
}
