package producer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// numbers yields n texts, each another one.
func numbers(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range n {
			if !yield(fmt.Sprint("call ", i)) {
				return
			}
		}
	}
}

// callMany collects all answers, by position.
func (w *office) callMany(f refcache.Func[string, string], ins iter.Seq[string], options ...producer.CallOption) map[int]refcache.Response[string] {
	w.Helper()
	return collect(w, producer.CallMany(w.Context(), w.P, f, ins, options...))
}

func (w *office) submitMany(f refcache.Func[string, string], ins iter.Seq[string], options ...producer.CallOption) map[int]producer.Submitted {
	w.Helper()
	return collect(w, producer.SubmitMany(w.Context(), w.P, f, ins, options...))
}

func collect[T any](w *office, answers iter.Seq2[int, T]) map[int]T {
	w.Helper()
	all := map[int]T{}
	for i, answer := range answers {
		require.NotContains(w, all, i, "answered twice")
		all[i] = answer
	}
	return all
}

// failed are the errors among the answers.
func failed(all map[int]producer.Submitted) (errs []error) {
	for _, s := range all {
		if s.Err != nil {
			errs = append(errs, s.Err)
		}
	}
	return errs
}

func TestEachOfManyCallsIsAnsweredAtItsPosition(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		answers := w.callMany(kit.Echo, numbers(300))
		require.Len(w, answers, 300)
		for i, res := range answers {
			require.NoError(w, res.Err)
			require.Equal(w, fmt.Sprint("call ", i, "!"), res.Value)
		}
		single, err := w.Call(kit.Echo, "call 17")
		require.NoError(w, err)
		require.Equal(w, kit.Told(single), kit.Told(answers[17]))
	})
}

func TestAnErrorOfOneOfManyCallsEndsNoOther(t *testing.T) {
	inOffice(t, func(w *office) {
		f := kit.Once(kit.Echo)
		w.Work(func(wk *worker.Worker) {
			worker.Handle(wk, f, func(_ context.Context, in string) (string, error) {
				if in == "fails" {
					return "", kit.ErrDown
				}
				return in, nil
			})
		})
		ins := []string{"a", "\xff", "fails", strings.Repeat("x", 2<<20), "b"}
		answers := w.callMany(f, slices.Values(ins))
		require.Len(w, answers, len(ins))
		for i, in := range ins {
			want, err := w.Call(f, in)
			want.Err = err
			require.Equal(w, kit.Told(want), kit.Told(answers[i]))
		}
		require.Equal(w, "a", answers[0].Value)
		require.ErrorContains(w, answers[1].Err, "invalid UTF-8")
		require.Equal(w, refcache.Failed, answers[2].Status)
		require.Len(w, kit.TaskError(w, answers[2].Err).RetryHistory, 1)
		require.ErrorIs(w, answers[3].Err, refcache.ErrArgsTooLarge)
		require.Equal(w, "b", answers[4].Value)

		bad := f
		bad.Name = "no name"
		for _, res := range w.callMany(bad, numbers(3)) {
			require.ErrorContains(w, res.Err, "no name")
		}
	})
}

func TestTheSameCallTwiceAmongManyRunsOnce(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{}
		w.Work(s.Of(kit.Echo))
		answers := w.callMany(kit.Echo, slices.Values([]string{"hi", "hi", "ho", "hi"}))
		require.Len(w, answers, 4)
		require.Equal(w, kit.Told(answers[0]), kit.Told(answers[1]))
		require.Equal(w, kit.Told(answers[0]), kit.Told(answers[3]))
		require.Equal(w, "hi!", answers[0].Value)
		require.Equal(w, int32(2), s.Runs.Load())
	})
}

func TestManyAnswersComeAsTheCallsEnd(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		w.Work(func(wk *worker.Worker) {
			worker.Handle(wk, kit.Echo, func(_ context.Context, in string) (string, error) {
				if in == "call 0" {
					time.Sleep(20 * time.Second)
				}
				return in, nil
			})
		})
		var order []int
		for i, res := range producer.CallMany(w.Context(), w.P, kit.Echo, numbers(200)) {
			require.NoError(w, res.Err)
			order = append(order, i)
		}
		require.Len(w, order, 200)
		require.Zero(w, order[199], "the slow one is last, and held up no other")
	})
}

func TestManyCallsThatDoNotEndInTimeAreInFlight(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		f := kit.Echo
		f.AsyncTimeout = 7 * time.Second
		began := time.Now()
		for _, res := range w.callMany(f, numbers(200)) {
			require.NoError(w, res.Err)
			require.True(w, res.IsAsync)
			require.Equal(w, refcache.Pending, w.Info(res.RefID).Status)
		}
		require.Equal(w, f.AsyncTimeout, time.Since(began))

		f.AsyncTimeout = -1
		began = time.Now()
		require.Len(w, w.callMany(f, numbers(200)), 200)
		require.Zero(w, time.Since(began))
	})
}

func TestOptionsOfManyCallsAreThoseOfEach(t *testing.T) {
	inOffice(t, func(w *office) {
		f := kit.Once(kit.Echo)
		s := kit.Script{Errs: []error{kit.ErrDown, kit.ErrDown, nil}, Numbered: true}
		w.Work(s.Of(f))
		for range 2 {
			for _, res := range w.callMany(f, numbers(2)) {
				require.Equal(w, refcache.Failed, res.Status)
			}
		}
		for _, res := range w.callMany(f, numbers(2), producer.RetryFailed()) {
			require.NoError(w, res.Err)
		}
		require.Equal(w, int32(4), s.Runs.Load())
		for i, res := range w.callMany(f, numbers(2), producer.Refresh()) {
			require.Regexp(w, fmt.Sprintf("^call %d [56]$", i), res.Value)
		}
	})
}

func TestManySubmittedCallsAreThoseOfSubmit(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		known := w.Submit(kit.Echo, "call 3")
		all := w.submitMany(kit.Echo, numbers(400))
		require.Len(w, all, 400)
		require.Empty(w, failed(all))
		require.Equal(w, known, all[3].Ref)
		require.EqualValues(w, 400, w.Redis.ZCard(w.Context(), "refq:{default}:pending").Val())
		require.EqualValues(w, 400, w.Redis.LLen(w.Context(), "asynq:{default}:pending").Val())

		s := kit.Script{}
		w.Work(s.Of(kit.Echo))
		for i, submitted := range all {
			res, err := w.P.Wait(w.Context(), submitted.Ref)
			require.NoError(w, err)
			require.JSONEq(w, fmt.Sprintf(`"call %d!"`, i), string(res.Value))
		}
		require.Equal(w, int32(400), s.Runs.Load())
	})
}

func TestManyCallsSurviveALossOfTheScripts(t *testing.T) {
	inOffice(t, func(w *office) {
		require.Empty(w, failed(w.submitMany(kit.Echo, numbers(100))))
		require.NoError(w, w.Redis.ScriptFlush(w.Context()).Err())
		all := w.submitMany(kit.Echo, numbers(500))
		require.Empty(w, failed(all))
		require.EqualValues(w, 500, w.Redis.LLen(w.Context(), "asynq:{default}:pending").Val())
	})
}

// When a connection is cut, go-redis sends a whole pipeline again.
func TestALostReplyAmongManyLosesAndDoublesNoCall(t *testing.T) {
	testkit.Long(t)
	for name, fault := range map[string]memredis.Fault{"reply": memredis.DropReply, "request": memredis.DropRequest,
		"failover": "READONLY You can't write against a read only replica."} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(w *office) {
				require.Empty(w, failed(w.submitMany(kit.Echo, numbers(1)))) // the scripts are known from here on
				var sent atomic.Int32
				w.Server.SetFaults(func(cmd []string) memredis.Fault {
					if cmd[0] != "EVALSHA" {
						return memredis.Pass
					}
					if n := sent.Add(1); n == 50 || n == 500 {
						return fault
					}
					return memredis.Pass
				})
				all := w.submitMany(kit.Echo, numbers(300))
				w.Server.SetFaults(nil)
				require.Len(w, all, 300)
				require.Empty(w, failed(all))
				require.EqualValues(w, 300, w.Redis.LLen(w.Context(), "asynq:{default}:pending").Val())
				s := kit.Script{}
				w.Work(s.Of(kit.Echo))
				require.Len(w, w.callMany(kit.Echo, numbers(300)), 300)
				require.Equal(w, int32(300), s.Runs.Load())
			})
		})
	}
}

// It is as if the producer had crashed between the two.
func TestManyCallsThatAreRecordedAndNotRungForAreLeftToTheSweep(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		w.Cancelled(kit.Echo, numbers(300))
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed"
			}
			return memredis.Pass
		})
		all := w.submitMany(kit.Echo, numbers(300))
		require.Len(w, all, 300)
		for _, s := range all {
			require.ErrorIs(w, s.Err, refcache.ErrNotQueued)
			require.ErrorContains(w, s.Err, "OOM")
			require.Equal(w, refcache.Pending, w.Info(s.Ref).Status)
		}
		w.Server.SetFaults(nil)
		s := kit.Script{}
		w.Work(s.Of(kit.Echo))
		for _, submitted := range all {
			_, err := w.P.Wait(w.Context(), submitted.Ref)
			require.NoError(w, err)
		}
		require.Equal(w, int32(300), s.Runs.Load())
	})
}

func TestManyCallsAreReadNoFurtherThanTheWindow(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		f := kit.Echo
		f.AsyncTimeout = -1
		var read atomic.Int32
		ins := func(yield func(string) bool) {
			for in := range numbers(2500) {
				read.Add(1)
				if !yield(in) {
					return
				}
			}
		}
		taken := 0
		for _, res := range producer.CallMany(w.Context(), w.P, f, ins) {
			require.NoError(w, res.Err)
			if taken%500 == 0 {
				synctest.Wait() // all that may be read has been read
				require.LessOrEqual(w, int(read.Load()), taken+1024)
				require.GreaterOrEqual(w, int(read.Load()), min(2500, taken+1024-128))
			}
			taken++
		}
		require.Equal(w, 2500, taken)
	})
}

func TestACallAmongManyWaitsForNoneThatIsNotMadeYet(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		next := make(chan string, 1)
		next <- "first"
		answered := 0
		for _, res := range producer.CallMany(w.Context(), w.P, kit.Echo, func(yield func(string) bool) {
			for in := range next {
				if !yield(in) {
					return
				}
			}
		}) {
			require.NoError(w, res.Err)
			if answered++; answered == 3 {
				close(next)
				continue
			}
			next <- fmt.Sprint("next ", answered)
		}
		require.Equal(w, 3, answered)
	})
}

func TestLeavingManyCallsEndsAllOfIt(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		f := kit.Echo
		f.AsyncTimeout = time.Second
		ended := false
		endless := func(yield func(string) bool) {
			defer func() { ended = true }()
			for in := range numbers(math.MaxInt) {
				if !yield(in) {
					return
				}
			}
		}
		began := time.Now()
		for _, res := range producer.CallMany(w.Context(), w.P, f, endless) {
			require.True(w, res.IsAsync)
			break
		}
		require.True(w, ended)
		require.Equal(w, time.Second, time.Since(began), "it waits for no other")
		pending := w.Redis.ZCard(w.Context(), "refq:{default}:pending").Val()
		require.EqualValues(w, pending, w.Redis.LLen(w.Context(), "asynq:{default}:pending").Val(), "all that were made are rung for")
		require.LessOrEqual(w, pending, int64(1024))
	})
}

func TestTheEndOfItsContextAnswersManyCallsWithTheCause(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		ctx, end := context.WithCancelCause(w.Context())
		enough := errors.New("enough of it")
		time.AfterFunc(time.Second, func() { end(enough) })
		f := kit.Echo
		f.AsyncTimeout = time.Hour
		answered := map[int]refcache.Ref{}
		for i, res := range producer.CallMany(ctx, w.P, f, numbers(2500)) {
			require.ErrorIs(w, res.Err, enough)
			require.ErrorContains(w, res.Err, string(res.RefID))
			answered[i] = res.RefID
		}
		require.Len(w, answered, 1024, "all that were read")
		require.EqualValues(w, 1024, w.Redis.LLen(w.Context(), "asynq:{default}:pending").Val(), "the calls go on")
	})
}

func TestManyCallsWithoutRedisAreEachAnErrorAndTheLoopEnds(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasPrefix(cmd[0], "EVAL") || cmd[0] == "SADD" {
				return memredis.DropRequest
			}
			return memredis.Pass
		})
		answers := w.callMany(kit.Echo, numbers(300))
		w.Server.SetFaults(nil)
		require.Len(w, answers, 300)
		for _, res := range answers {
			require.ErrorContains(w, res.Err, "submit "+string(res.RefID))
		}
	})
}

func TestManyCallsThatAreOnRecordAreRungForAlsoWhenTheContextEnds(t *testing.T) {
	inOffice(t, func(w *office) {
		require.Empty(w, failed(w.submitMany(kit.Echo, slices.Values([]string{"the scripts are known from here on"}))))
		ctx, end := context.WithCancel(w.Context())
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVALSHA" && strings.HasPrefix(cmd[3], "refq:") {
				end()
			}
			return memredis.Pass
		})
		made := 0
		for _, s := range collect(w, producer.SubmitMany(ctx, w.P, kit.Echo, numbers(500))) {
			if s.Err == nil {
				made++
			} else {
				require.ErrorIs(w, s.Err, context.Canceled)
				require.NotErrorIs(w, s.Err, refcache.ErrNotQueued)
			}
		}
		require.Positive(w, made)
		require.EqualValues(w, made+1, w.Redis.ZCard(w.Context(), "refq:{default}:pending").Val())
		require.EqualValues(w, made+1, w.Redis.LLen(w.Context(), "asynq:{default}:pending").Val())
	})
}
