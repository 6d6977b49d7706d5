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

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestTheSameCallIsAnsweredFromTheCache(t *testing.T) {
	inWorld(t, func(w *world) {
		var s script
		w.start(s.of(echo))
		first, err := w.call(echo, "hi")
		require.NoError(w, err)
		second, err := w.call(echo, "hi")
		require.NoError(w, err)

		require.Equal(w, "hi!", first.Value)
		require.True(w, second.IsComplete)
		require.False(w, second.IsAsync)
		require.Equal(w, first.RefID, second.RefID)
		require.Equal(w, "hi!", second.Value)
		require.EqualValues(w, 1, s.runs.Load())
	})
}

func TestThousandEqualCallsOfTwoProducersAreOneExecution(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{hold: make(chan struct{})}
		w.start(s.of(echo))
		w.start(s.of(echo))
		producers := []*producer.Producer{w.p, w.producer(producer.Config{})}
		var wg sync.WaitGroup
		answers := make([]refcache.Response[string], 1000)
		for i := range answers {
			wg.Go(func() {
				res, err := producer.Call(w.Context(), producers[i%2], echo, "hi")
				require.NoError(w, err)
				answers[i] = res
			})
		}
		s.hold <- struct{}{}
		wg.Wait()
		for _, res := range answers {
			require.Equal(w, answers[0], res)
		}
		require.EqualValues(w, 1, s.runs.Load())
	})
}

func TestSlowCallAnswersThatItIsInFlight(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{hold: make(chan struct{})}
		w.start(s.of(echo))
		slow := echo
		slow.AsyncTimeout = 2 * time.Second
		began := time.Now()
		res, err := producer.Call(w.Context(), w.p, slow, "hi")
		require.NoError(w, err)
		require.Equal(w, 2*time.Second, time.Since(began))
		require.Equal(w, refcache.Processing, res.Status)
		require.True(w, res.IsAsync)
		require.False(w, res.IsComplete)
		require.False(w, res.HasValue)

		s.hold <- struct{}{}
		ended, err := producer.Wait(w.Context(), w.p, slow, res.RefID)
		require.NoError(w, err)
		require.Equal(w, "hi!", ended.Value)
	})
}

func TestNegativeAsyncTimeoutDoesNotWait(t *testing.T) {
	inWorld(t, func(w *world) {
		var subscriptions atomic.Int32
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "SUBSCRIBE" {
				subscriptions.Add(1)
			}
			return memredis.Pass
		})
		f := echo
		f.AsyncTimeout = -1
		began := time.Now()
		res, err := producer.Call(w.Context(), w.p, f, "hi")
		require.NoError(w, err)
		require.Equal(w, refcache.Pending, res.Status)
		require.True(w, res.IsAsync)
		require.Zero(w, time.Since(began))
		require.Zero(w, subscriptions.Load(), "there is nothing to hear")

		var s script
		w.start(s.of(echo))
		w.until(res.RefID, refcache.Complete)
		res, err = producer.Call(w.Context(), w.p, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi!", res.Value)
	})
}

func TestEndOfTheCallersContextDoesNotEndTheCall(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{hold: make(chan struct{})}
		w.start(s.of(echo))
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		res, err := producer.Call(ctx, w.p, echo, "hi")
		require.ErrorIs(w, err, context.DeadlineExceeded)
		require.True(w, res.Status.InFlight(), "as it was last seen")
		s.hold <- struct{}{}
		ended, err := producer.Wait(w.Context(), w.p, echo, res.RefID)
		require.NoError(w, err)
		require.Equal(w, "hi!", ended.Value)
	})
}

func TestFailedCallFillsTheResponseAndTheError(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown}}
		w.start(s.of(echo))
		f := echo
		f.Retry.MaxRetries = 1
		res, err := producer.Call(w.Context(), w.p, f, "hi")
		info := taskError(w, err)
		require.Equal(w, refcache.Failed, res.Status)
		require.Equal(w, errDown.Error(), res.Error)
		require.True(w, res.Exhausted)
		require.False(w, res.CanRetry)
		require.Equal(w, res.RefID, info.RefID)
		require.Len(w, info.RetryHistory, 2)
		require.Contains(w, err.Error(), "failed after 2 attempts: service is down")

		_, err = producer.Call(w.Context(), w.p, f, "hi")
		require.Len(w, taskError(w, err).RetryHistory, 2, "a repeated call is answered with the failure")
		require.EqualValues(w, 2, s.runs.Load())
	})
}

func TestFailureIsForgottenAfterItsTTL(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, nil}}
		w.start(s.of(echo))
		f := echo
		f.Retry.MaxRetries, f.FailureTTL = refcache.NoRetries, 10*time.Second
		_, err := producer.Call(w.Context(), w.p, f, "hi")
		ref := taskError(w, err).RefID
		time.Sleep(9 * time.Second)
		_, err = w.p.Get(w.Context(), ref)
		require.NoError(w, err)
		time.Sleep(2 * time.Second) // reading has not extended it
		_, err = w.p.Get(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		res, err := producer.Call(w.Context(), w.p, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi!", res.Value)
	})
}

func TestRetryFailedRunsAnewUnderThePolicyOfTheCall(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, errDown, nil}}
		w.start(s.of(echo))
		f := echo
		f.Retry.MaxRetries = refcache.NoRetries
		_, err := producer.Call(w.Context(), w.p, f, "hi")
		first := taskError(w, err)

		f.Retry.MaxRetries = 1
		res, err := producer.Call(w.Context(), w.p, f, "hi", producer.RetryFailed())
		require.NoError(w, err)
		require.Equal(w, first.RefID, res.RefID)
		info := w.info(res.RefID)
		require.Equal(w, 2, info.Cycle)
		require.Equal(w, 1, info.MaxRetries)
		require.Equal(w, first.CreatedAt, info.CreatedAt)
		require.Equal(w, []int{1, 2}, []int{info.RetryHistory[0].Cycle, info.RetryHistory[1].Cycle})
	})
}

func TestRefreshServesTheOldValueUntilTheNewOneIsThere(t *testing.T) {
	inWorld(t, func(w *world) {
		n, hold := 0, make(chan struct{})
		count := refcache.Func[string, int]{Name: "count", AsyncTimeout: time.Minute}
		w.start(func(wk *worker.Worker) {
			worker.Handle(wk, count, func(context.Context, string) (int, error) {
				n++
				if n > 1 {
					<-hold
				}
				return n, nil
			})
		})
		res, err := producer.Call(w.Context(), w.p, count, "x")
		require.NoError(w, err)
		require.Equal(w, 1, res.Value)

		asked := make(chan refcache.Response[int], 1)
		go func() {
			res, err := producer.Call(w.Context(), w.p, count, "x", producer.Refresh())
			require.NoError(w, err)
			asked <- res
		}()
		w.until(res.RefID, refcache.Processing)
		meanwhile, err := producer.Call(w.Context(), w.p, count, "x")
		require.NoError(w, err)
		require.Equal(w, refcache.Processing, meanwhile.Status)
		require.False(w, meanwhile.IsComplete)
		require.Equal(w, 1, meanwhile.Value, "the old one, at once")

		hold <- struct{}{}
		require.Equal(w, 2, (<-asked).Value, "the call that asked waits")
	})
}

func TestFailedRefreshDropsTheOldValue(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{nil, worker.Permanent(errDown)}}
		w.start(s.of(echo))
		res, err := producer.Call(w.Context(), w.p, echo, "hi")
		require.NoError(w, err)
		_, err = producer.Call(w.Context(), w.p, echo, "hi", producer.Refresh())
		taskError(w, err)
		now, err := w.p.Get(w.Context(), res.RefID)
		require.NoError(w, err)
		require.Equal(w, refcache.Failed, now.Status)
		require.False(w, now.HasValue)
	})
}

func TestNamespaceVersionAndArgumentsMakeOtherCalls(t *testing.T) {
	inWorld(t, func(w *world) {
		v2, media := echo, echo
		v2.Version, media.Queue = 2, "media"
		other := w.producer(producer.Config{Namespace: "shop"})
		inShop, err := producer.Submit(w.Context(), other, echo, "hi")
		require.NoError(w, err)
		refs := map[refcache.Ref]bool{inShop: true}
		for _, f := range []refcache.Func[string, string]{echo, v2, media} {
			refs[w.submit(f, "hi")] = true
		}
		refs[w.submit(echo, "ho")] = true
		require.Len(w, refs, 5)
		shorter := echo
		shorter.Timeout, shorter.Retry.MaxRetries, shorter.Version = time.Second, 7, 1
		require.Contains(w, refs, w.submit(shorter, "hi"), "policy is not part of the identity, and version 0 is 1")
	})
}

func TestArgumentsThatCannotBeCalledWithLeaveNothingBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		small := w.producer(producer.Config{MaxArgs: 10})
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
		_, err := producer.Submit(w.Context(), w.p, raw, json.RawMessage(`{"a":1,"a":2}`))
		require.ErrorContains(w, err, "duplicate")
		keys, err := w.rdb.Keys(w.Context(), "refq:*:t:*").Result()
		require.NoError(w, err)
		require.Len(w, keys, 1, "that of the one good call")
	})
}

func TestInvalidFunctionIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	inWorld(t, func(w *world) {
		bad := echo
		bad.TTL = time.Millisecond
		_, err := producer.Call(w.Context(), w.p, bad, "hi")
		require.ErrorContains(w, err, "function echo: ttl is 1ms, must be at least 1s")
		_, err = producer.Submit(w.Context(), w.producer(producer.Config{Namespace: "a b"}), echo, "hi")
		require.ErrorContains(w, err, `namespace: name "a b"`)
		keys, err := w.rdb.Keys(w.Context(), "*").Result()
		require.NoError(w, err)
		require.Empty(w, keys)
	})
}

// isEnqueue tells asynq's enqueue, run by itself, by its keys.
func isEnqueue(cmd []string) bool {
	return strings.HasPrefix(cmd[0], "EVAL") && strings.HasPrefix(cmd[3], "asynq:{default}:t:") && cmd[4] == "asynq:{default}:pending"
}

func TestCallThatCouldNotBeQueuedIsStored(t *testing.T) {
	for name, again := range map[string]func(*world){
		"and queued by the next call": func(w *world) { w.submit(echo, "hi") },
		"and queued by a sweep":       func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.cancelled(echo, slices.Values([]string{"hi"}))
				w.server.SetFaults(func(cmd []string) memredis.Fault {
					if isEnqueue(cmd) {
						return "OOM command not allowed when used memory > 'maxmemory'."
					}
					return memredis.Pass
				})
				ref, err := producer.Submit(w.Context(), w.p, echo, "hi")
				require.ErrorIs(w, err, refcache.ErrNotQueued)
				require.ErrorContains(w, err, "OOM")
				res, err := producer.Call(w.Context(), w.p, echo, "hi")
				require.ErrorIs(w, err, refcache.ErrNotQueued)
				require.Equal(w, ref, res.RefID)
				require.Equal(w, refcache.Pending, res.Status)

				w.server.SetFaults(nil)
				var s script
				w.start(s.of(echo))
				again(w)
				ended, err := producer.Wait(w.Context(), w.p, echo, ref)
				require.NoError(w, err)
				require.Equal(w, "hi!", ended.Value)
			})
		})
	}
}

func TestRedisThatIsAwayIsOneClearErrorSoon(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit(echo, "hi")
		w.server.Close()
		began := time.Now()
		for _, ask := range []func() error{
			func() error { _, err := producer.Call(w.Context(), w.p, echo, "hi"); return err },
			func() error { _, err := producer.Wait(w.Context(), w.p, echo, ref); return err },
			func() error { _, err := w.p.Get(w.Context(), ref); return err },
			func() error { return w.p.Cancel(w.Context(), ref) },
		} {
			err := ask()
			require.ErrorContains(w, err, "connection refused")
			require.NotErrorIs(w, err, refcache.ErrTaskNotFound)
			require.Less(w, time.Since(began), 5*time.Second)
			began = time.Now()
		}
	})
}
