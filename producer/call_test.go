package producer_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestTheSameCallIsAnsweredFromTheCache(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		w.Work(s.Of(kit.Echo))
		first, err := w.Call(kit.Echo, "hi")
		require.NoError(w, err)
		second, err := w.Call(kit.Echo, "hi")
		require.NoError(w, err)

		require.Equal(w, "hi!", first.Value)
		require.True(w, second.IsComplete)
		require.False(w, second.IsAsync)
		require.Equal(w, first.RefID, second.RefID)
		require.Equal(w, "hi!", second.Value)
		require.EqualValues(w, 1, s.Runs.Load())
	})
}

func TestThousandEqualCallsOfTwoProducersAreOneExecution(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		w.Work(s.Of(kit.Echo))
		producers := []*producer.Producer{w.P, w.NewProducer(producer.Config{})}
		var wg sync.WaitGroup
		answers := make([]refcache.Response[string], 1000)
		for i := range answers {
			wg.Go(func() {
				res, err := producer.Call(w.Context(), producers[i%2], kit.Echo, "hi")
				require.NoError(w, err)
				answers[i] = res
			})
		}
		s.Hold <- struct{}{}
		wg.Wait()
		uses := map[refcache.CacheUse]int{}
		for _, res := range answers {
			require.Equal(w, kit.Told(answers[0]), kit.Told(res))
			uses[res.Cache]++
		}
		require.EqualValues(w, 1, s.Runs.Load())
		require.Equal(w, 1, uses[refcache.CacheMiss])
	})
}

func TestSlowCallAnswersThatItIsInFlight(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		slow := kit.Echo
		slow.AsyncTimeout = 2 * time.Second
		began := time.Now()
		res, err := producer.Call(w.Context(), w.P, slow, "hi")
		require.NoError(w, err)
		require.Equal(w, 2*time.Second, time.Since(began))
		require.Equal(w, refcache.Processing, res.Status)
		require.True(w, res.IsAsync)
		require.False(w, res.IsComplete)
		require.False(w, res.HasValue)

		s.Hold <- struct{}{}
		ended, err := producer.Wait(w.Context(), w.P, slow, res.RefID)
		require.NoError(w, err)
		require.Equal(w, "hi!", ended.Value)
	})
}

func TestNegativeAsyncTimeoutDoesNotWait(t *testing.T) {
	inOffice(t, func(w *office) {
		var subscriptions atomic.Int32
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasSuffix(cmd[0], "SUBSCRIBE") {
				subscriptions.Add(1)
			}
			return memredis.Pass
		})
		f := kit.Echo
		f.AsyncTimeout = -1
		began := time.Now()
		res, err := producer.Call(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		require.Equal(w, refcache.Pending, res.Status)
		require.True(w, res.IsAsync)
		require.Zero(w, time.Since(began))
		require.Zero(w, subscriptions.Load(), "there is nothing to hear")

		var s kit.Script
		w.Work(s.Of(kit.Echo))
		w.Until(res.RefID, refcache.Complete)
		res, err = producer.Call(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi!", res.Value)
	})
}

func TestEndOfTheCallersContextDoesNotEndTheCall(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		res, err := producer.Call(ctx, w.P, kit.Echo, "hi")
		require.ErrorIs(w, err, context.DeadlineExceeded)
		require.True(w, res.Status.InFlight(), "as it was last seen")
		s.Hold <- struct{}{}
		ended, err := producer.Wait(w.Context(), w.P, kit.Echo, res.RefID)
		require.NoError(w, err)
		require.Equal(w, "hi!", ended.Value)
	})
}

func TestFailedCallFillsTheResponseAndTheError(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown}}
		w.Work(s.Of(kit.Echo))
		f := kit.Echo
		f.Retry.MaxRetries = 1
		res, err := producer.Call(w.Context(), w.P, f, "hi")
		info := kit.TaskError(w, err)
		require.Equal(w, refcache.Failed, res.Status)
		require.Equal(w, kit.ErrDown.Error(), res.Error)
		require.True(w, res.Exhausted)
		require.False(w, res.CanRetry)
		require.Equal(w, res.RefID, info.RefID)
		require.Len(w, info.RetryHistory, 2)
		require.Contains(w, err.Error(), "failed after 2 attempts: service is down")

		_, err = producer.Call(w.Context(), w.P, f, "hi")
		require.Len(w, kit.TaskError(w, err).RetryHistory, 2, "a repeated call is answered with the failure")
		require.EqualValues(w, 2, s.Runs.Load())
	})
}

func TestFailureIsForgottenAfterItsTTL(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}}
		w.Work(s.Of(kit.Echo))
		f := kit.Echo
		f.Retry.MaxRetries, f.FailureTTL = refcache.NoRetries, 10*time.Second
		_, err := producer.Call(w.Context(), w.P, f, "hi")
		ref := kit.TaskError(w, err).RefID
		time.Sleep(9 * time.Second)
		_, err = w.P.Get(w.Context(), ref)
		require.NoError(w, err)
		time.Sleep(2 * time.Second) // reading has not extended it
		_, err = w.P.Get(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		res, err := producer.Call(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi!", res.Value)
	})
}

func TestRetryFailedRunsAnewUnderThePolicyOfTheCall(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, kit.ErrDown, nil}}
		w.Work(s.Of(kit.Echo))
		f := kit.Echo
		f.Retry.MaxRetries = refcache.NoRetries
		_, err := producer.Call(w.Context(), w.P, f, "hi")
		first := kit.TaskError(w, err)

		f.Retry.MaxRetries = 1
		res, err := producer.Call(w.Context(), w.P, f, "hi", producer.RetryFailed())
		require.NoError(w, err)
		require.Equal(w, first.RefID, res.RefID)
		info := w.Info(res.RefID)
		require.Equal(w, 2, info.Cycle)
		require.Equal(w, 1, info.MaxRetries)
		require.Equal(w, first.CreatedAt, info.CreatedAt)
		require.Equal(w, []int{1, 2}, []int{info.RetryHistory[0].Cycle, info.RetryHistory[1].Cycle})
	})
}

func TestRefreshServesTheOldValueUntilTheNewOneIsThere(t *testing.T) {
	inOffice(t, func(w *office) {
		n, hold := 0, make(chan struct{})
		count := refcache.Func[string, int]{Name: "count", AsyncTimeout: time.Minute}
		w.Work(func(wk *worker.Worker) {
			worker.Handle(wk, count, func(context.Context, string) (int, error) {
				n++
				if n > 1 {
					<-hold
				}
				return n, nil
			})
		})
		res, err := producer.Call(w.Context(), w.P, count, "x")
		require.NoError(w, err)
		require.Equal(w, 1, res.Value)

		asked := make(chan refcache.Response[int], 1)
		go func() {
			res, err := producer.Call(w.Context(), w.P, count, "x", producer.Refresh())
			require.NoError(w, err)
			asked <- res
		}()
		w.Until(res.RefID, refcache.Processing)
		meanwhile, err := producer.Call(w.Context(), w.P, count, "x")
		require.NoError(w, err)
		require.Equal(w, refcache.Complete, meanwhile.Status)
		require.True(w, meanwhile.IsComplete)
		require.False(w, meanwhile.IsAsync || meanwhile.IsStale)
		require.True(w, meanwhile.Refreshing)
		require.Equal(w, 1, meanwhile.Value, "the old one, at once")
		now, err := w.P.Get(w.Context(), res.RefID)
		require.NoError(w, err)
		require.Equal(w, refcache.Processing, now.Status, "who asks how it stands is told so")
		require.True(w, now.Refreshing)

		hold <- struct{}{}
		require.Equal(w, 2, (<-asked).Value, "the call that asked waits")
	})
}

func TestARefreshThatFailsLeavesTheOldValue(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, worker.Permanent(kit.ErrDown), nil}}
		f := kit.Echo
		f.TTL = 10 * time.Minute
		w.Work(s.Of(f))
		res, err := producer.Call(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		expires := *res.ExpiresAt
		time.Sleep(time.Minute)

		asked, err := producer.Call(w.Context(), w.P, f, "hi", producer.Refresh())
		var failed *refcache.TaskError
		require.ErrorAs(w, err, &failed)
		require.True(w, failed.Refresh)
		require.ErrorContains(w, err, kit.ErrDown.Error())
		require.Equal(w, "hi!", asked.Value)
		require.True(w, asked.IsStale)

		plain, err := producer.Call(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi!", plain.Value)
		require.Equal(w, refcache.Complete, plain.Status)
		require.True(w, plain.IsStale)
		require.Equal(w, refcache.StaleError, plain.StaleReason)
		require.Equal(w, kit.ErrDown.Error(), plain.Error)
		require.Equal(w, expires, *plain.ExpiresAt)
		value, err := producer.Do(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi!", value)
		require.EqualValues(w, 2, s.Runs.Load(), "it starts no other")

		_, err = w.P.Retry(w.Context(), res.RefID)
		require.ErrorIs(w, err, refcache.ErrNotFailed)
		require.ErrorContains(w, err, "it is complete; its last refresh failed; call with --refresh")
		time.Sleep(time.Until(expires) + time.Millisecond)
		_, err = producer.Do(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		require.EqualValues(w, 3, s.Runs.Load(), "the old value has expired")
	})
}

func TestWhoSawARefreshInFlightHearsThatItFailed(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, worker.Permanent(kit.ErrDown)}, Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "hi")
		s.Hold <- struct{}{}
		w.Until(ref, refcache.Complete)
		w.Submit(kit.Echo, "hi", producer.Refresh())
		w.Until(ref, refcache.Processing)
		ended := make(chan error, 1)
		go func() {
			res, err := producer.Wait(w.Context(), w.P, kit.Echo, ref)
			require.Equal(w, "hi!", res.Value)
			ended <- err
		}()
		time.Sleep(time.Second)
		s.Hold <- struct{}{}
		var failed *refcache.TaskError
		require.ErrorAs(w, <-ended, &failed)
		require.True(w, failed.Refresh)
		_, err := producer.Wait(w.Context(), w.P, kit.Echo, ref)
		require.NoError(w, err, "who comes later waits for nothing")
	})
}

func TestAFailureAnswersForAMinuteAndTheNextCallRunsAnew(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}}
		w.Work(s.Of(kit.Echo))
		f := kit.Once(kit.Echo)
		_, err := producer.Do(w.Context(), w.P, f, "hi")
		kit.TaskError(w, err)
		time.Sleep(40 * time.Second)
		res, err := producer.Call(w.Context(), w.P, f, "hi")
		kit.TaskError(w, err)
		require.Equal(w, "failed 40s ago, no retries left; --retry-failed runs it anew", res.Message)
		time.Sleep(20 * time.Second)
		value, err := producer.Do(w.Context(), w.P, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi!", value)
		require.EqualValues(w, 2, s.Runs.Load())
	})
}

func TestNamespaceVersionAndArgumentsMakeOtherCalls(t *testing.T) {
	inOffice(t, func(w *office) {
		v2, media := kit.Echo, kit.Echo
		v2.Version, media.Queue = 2, "media"
		other := w.NewProducer(producer.Config{Namespace: "shop"})
		inShop, err := producer.Submit(w.Context(), other, kit.Echo, "hi")
		require.NoError(w, err)
		refs := map[refcache.Ref]bool{inShop: true}
		for _, f := range []refcache.Func[string, string]{kit.Echo, v2, media} {
			refs[w.Submit(f, "hi")] = true
		}
		refs[w.Submit(kit.Echo, "ho")] = true
		require.Len(w, refs, 5)
		shorter := kit.Echo
		shorter.Timeout, shorter.Retry.MaxRetries, shorter.Version = time.Second, 7, 1
		require.Contains(w, refs, w.Submit(shorter, "hi"), "policy is not part of the identity, and version 0 is 1")
	})
}

func TestArgumentsThatCannotBeCalledWithLeaveNothingBehind(t *testing.T) {
	inOffice(t, func(w *office) {
		small := w.NewProducer(producer.Config{MaxArgs: 10})
		raw := refcache.Func[json.RawMessage, string]{Name: "raw"}
		for text, want := range map[string]string{
			`"12345678901"`:          "arguments are too large: 13 bytes, more than max_args 10",
			`1e40`:                   "",
			`{"a":1,"a":2}`:          "more than max_args",
			`{"a":`:                  "raw",
			"\"\xff\"":               "UTF-8",
			`[1e39]`:                 "more than max_args", // 42 bytes in its canonical form
			strings.Repeat(" ", 200): "raw",
			`[1, 2,   3]`:            "more than max_args", // the text, not its canonical form
		} {
			_, err := producer.Submit(w.Context(), small, raw, json.RawMessage(text))
			if want == "" {
				require.NoError(w, err)
				continue
			}
			require.ErrorContains(w, err, want, text)
		}
		_, err := producer.Submit(w.Context(), w.P, raw, json.RawMessage(`{"a":1,"a":2}`))
		require.ErrorContains(w, err, "duplicate")
		keys, err := w.Redis.Keys(w.Context(), "refq:*:t:*").Result()
		require.NoError(w, err)
		require.Len(w, keys, 1, "that of the one good call")
	})
}

func TestInvalidFunctionIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	inOffice(t, func(w *office) {
		bad := kit.Echo
		bad.TTL = time.Millisecond
		_, err := producer.Call(w.Context(), w.P, bad, "hi")
		require.ErrorContains(w, err, "function echo: ttl is 1ms, must be at least 1s")
		_, err = producer.Submit(w.Context(), w.NewProducer(producer.Config{Namespace: "a b"}), kit.Echo, "hi")
		require.ErrorContains(w, err, `namespace: name "a b"`)
		keys, err := w.Redis.Keys(w.Context(), "*").Result()
		require.NoError(w, err)
		require.Empty(w, keys)
	})
}

// isEnqueue tells asynq's enqueue, run by itself, by its keys.
func isEnqueue(cmd []string) bool {
	return strings.HasPrefix(cmd[0], "EVAL") && strings.HasPrefix(cmd[3], "asynq:{default}:t:") && cmd[4] == "asynq:{default}:pending"
}

func TestCallThatCouldNotBeQueuedIsStored(t *testing.T) {
	for name, again := range map[string]func(*office){
		"and queued by the next call": func(w *office) { w.Submit(kit.Echo, "hi") },
		"and queued by a sweep":       func(*office) {},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(w *office) {
				w.Cancelled(kit.Echo, slices.Values([]string{"hi"}))
				w.Server.SetFaults(func(cmd []string) memredis.Fault {
					if isEnqueue(cmd) {
						return "OOM command not allowed when used memory > 'maxmemory'."
					}
					return memredis.Pass
				})
				ref, err := producer.Submit(w.Context(), w.P, kit.Echo, "hi")
				require.ErrorIs(w, err, refcache.ErrNotQueued)
				require.ErrorContains(w, err, "OOM")
				res, err := producer.Call(w.Context(), w.P, kit.Echo, "hi")
				require.ErrorIs(w, err, refcache.ErrNotQueued)
				require.Equal(w, ref, res.RefID)
				require.Equal(w, refcache.Pending, res.Status)

				w.Server.SetFaults(nil)
				var s kit.Script
				w.Work(s.Of(kit.Echo))
				again(w)
				ended, err := producer.Wait(w.Context(), w.P, kit.Echo, ref)
				require.NoError(w, err)
				require.Equal(w, "hi!", ended.Value)
			})
		})
	}
}

func TestRedisThatIsAwayIsOneClearErrorSoon(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "hi")
		w.Server.Close()
		began := time.Now()
		for _, ask := range []func() error{
			func() error { _, err := producer.Call(w.Context(), w.P, kit.Echo, "hi"); return err },
			func() error { _, err := producer.Wait(w.Context(), w.P, kit.Echo, ref); return err },
			func() error { _, err := w.P.Get(w.Context(), ref); return err },
			func() error { return w.P.Cancel(w.Context(), ref) },
		} {
			err := ask()
			require.ErrorContains(w, err, "connection refused")
			require.NotErrorIs(w, err, refcache.ErrTaskNotFound)
			require.Less(w, time.Since(began), 5*time.Second)
			began = time.Now()
		}
	})
}
