package producer_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// impatient is echo for which Call does not wait.
var impatient = refcache.Func[string, string]{Name: "echo", AsyncTimeout: -1}

type done struct {
	value string
	err   error
}

// do does a call in the background and sends what came of it.
func (w *office) do(ctx context.Context, f refcache.Func[string, string], in string, options ...producer.CallOption) <-chan done {
	ended := make(chan done, 1)
	go func() {
		value, err := producer.Do(ctx, w.P, f, in, options...)
		ended <- done{value, err}
	}()
	return ended
}

func TestDoAnswersTheResultInEveryStatus(t *testing.T) {
	for name, prepare := range map[string]func(w *office, s *kit.Script) (then func(), runs int){
		"not made yet": func(*office, *kit.Script) (func(), int) { return func() {}, 1 },
		"pending": func(w *office, s *kit.Script) (func(), int) {
			w.Submit(impatient, "hi")
			return func() {}, 1
		},
		"processing": func(w *office, s *kit.Script) (func(), int) {
			s.Hold = make(chan struct{})
			w.Work(s.Of(kit.Echo))
			w.Until(w.Submit(impatient, "hi"), refcache.Processing)
			return func() { s.Hold <- struct{}{} }, 1
		},
		"retrying": func(w *office, s *kit.Script) (func(), int) {
			s.Errs = []error{kit.ErrDown, nil}
			w.Work(s.Of(kit.Echo))
			w.Until(w.Submit(impatient, "hi"), refcache.Retrying)
			return func() {}, 2
		},
		"complete": func(w *office, s *kit.Script) (func(), int) {
			w.Work(s.Of(kit.Echo))
			w.Until(w.Submit(impatient, "hi"), refcache.Complete)
			return func() {}, 1
		},
		"cancelled": func(w *office, s *kit.Script) (func(), int) {
			require.NoError(w, w.P.Cancel(w.Context(), w.Submit(impatient, "hi")))
			return func() {}, 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(w *office) {
				var s kit.Script
				then, runs := prepare(w, &s)
				ended := w.do(w.Context(), impatient, "hi")
				time.Sleep(10 * time.Second) // longer than any AsyncTimeout by default
				if s.Runs.Load() == 0 {
					require.Empty(w, ended, "it waits for a worker")
					w.Work(s.Of(kit.Echo))
				}
				then()
				require.Equal(w, done{"hi!", nil}, <-ended)
				require.EqualValues(w, runs, s.Runs.Load())
				require.Zero(w, w.P.Waiters())
			})
		})
	}
}

func TestDoOfWhatFailedIsAnErrorWithTheZeroValue(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown}}
		w.Work(s.Of(kit.Echo))
		for range 2 { // the first runs it, the second finds it failed
			value, err := producer.Do(w.Context(), w.P, kit.Once(kit.Echo), "hi")
			require.Equal(w, refcache.Failed, kit.TaskError(w, err).Status)
			require.Equal(w, kit.ErrDown.Error(), kit.TaskError(w, err).Error)
			require.Empty(w, value)
		}
		require.EqualValues(w, 1, s.Runs.Load())
		s.Errs = nil
		value, err := producer.Do(w.Context(), w.P, kit.Once(kit.Echo), "hi", producer.RetryFailed())
		require.NoError(w, err)
		require.Equal(w, "hi!", value)
	})
}

func TestDoOfACallThatIsCalledOffIsAnError(t *testing.T) {
	inOffice(t, func(w *office) {
		ended := w.do(w.Context(), kit.Echo, "hi")
		time.Sleep(time.Minute)
		require.NoError(w, w.P.Cancel(w.Context(), w.Submit(kit.Echo, "hi")))
		end := <-ended
		require.Equal(w, refcache.Cancelled, kit.TaskError(w, end.err).Status)
		require.Empty(w, end.value)
	})
}

func TestDoOfACallThatIsDeletedIsToldSo(t *testing.T) {
	inOffice(t, func(w *office) {
		require.NoError(w, w.P.Close()) // deaf
		ended := w.do(w.Context(), kit.Echo, "hi")
		time.Sleep(8 * time.Second)
		ref := w.Submit(kit.Echo, "hi")
		require.NoError(w, w.P.Cancel(w.Context(), ref))
		require.NoError(w, w.P.Delete(w.Context(), ref))
		require.ErrorIs(w, (<-ended).err, refcache.ErrTaskNotFound)
	})
}

func TestTheEndOfItsContextEndsDoAndNotTheCall(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ctx, stop := context.WithCancelCause(w.Context())
		ended := w.do(ctx, kit.Echo, "hi")
		time.Sleep(time.Minute)
		left := errors.New("the user has left")
		stop(left)
		end := <-ended
		ref := w.Submit(kit.Echo, "hi")
		require.ErrorIs(w, end.err, left)
		require.ErrorContains(w, end.err, string(ref))
		require.NotErrorIs(w, end.err, refcache.ErrNotQueued)
		require.Empty(w, end.value)

		s.Hold <- struct{}{}
		require.NoError(w, <-w.WaitFor(ref))
		end = <-w.do(ctx, kit.Echo, "another")
		require.ErrorIs(w, end.err, left, "also when it had ended before")
		require.ErrorContains(w, end.err, "default:")
	})
}

func TestDoWaitsForACallThatCouldNotBeQueued(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Cancelled(kit.Echo, slices.Values([]string{"hi"}))
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		})
		ctx, stop := context.WithTimeout(w.Context(), time.Minute)
		defer stop()
		end := <-w.do(ctx, kit.Echo, "hi")
		require.ErrorIs(w, end.err, context.DeadlineExceeded)
		require.ErrorIs(w, end.err, refcache.ErrNotQueued)

		ended := w.do(w.Context(), kit.Echo, "hi")
		time.Sleep(time.Minute)
		require.Empty(w, ended)
		w.Server.SetFaults(nil)
		w.Work((&kit.Script{}).Of(kit.Echo)) // its sweep queues the call
		require.Equal(w, done{"hi!", nil}, <-ended)
	})
}

func TestDoOutlastsAnOutage(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ended := w.do(w.Context(), impatient, "hi")
		time.Sleep(time.Second)
		w.Server.SetFaults(func([]string) memredis.Fault { return "LOADING Redis is loading the dataset in memory" })
		time.Sleep(10 * time.Second)
		_, err := producer.Do(w.Context(), w.P, kit.Echo, "another")
		require.ErrorContains(w, err, "LOADING", "it is not known whether the call was made")
		time.Sleep(10 * time.Second)
		require.Empty(w, ended)
		w.Server.SetFaults(nil)
		s.Hold <- struct{}{}
		require.Equal(w, done{"hi!", nil}, <-ended)
	})
}

func TestDoBesideARefreshAnswersTheOldResult(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		require.Equal(w, done{"hi 1", nil}, <-w.do(w.Context(), kit.Echo, "hi"))
		s.Hold = make(chan struct{})
		refreshed := w.do(w.Context(), kit.Echo, "hi", producer.Refresh())
		time.Sleep(time.Minute)
		began := time.Now()
		require.Equal(w, done{"hi 1", nil}, <-w.do(w.Context(), impatient, "hi"))
		require.Zero(w, time.Since(began))
		require.Empty(w, refreshed, "who asked for the new one waits for it")
		s.Hold <- struct{}{}
		require.Equal(w, done{"hi 2", nil}, <-refreshed)
	})
}

func TestDoServesTheOldResultWhileTheRefreshCannotBeQueued(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		})
		_, err := producer.Submit(w.Context(), w.P, kit.Echo, "hi", producer.Refresh())
		require.ErrorIs(w, err, refcache.ErrNotQueued)
		require.Equal(w, done{"hi 1", nil}, <-w.do(w.Context(), kit.Echo, "hi"))
	})
}

func TestAThousandDoOfOneCallAreOneExecution(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		other := w.NewProducer(producer.Config{})
		var all sync.WaitGroup
		var right atomic.Int32
		for i := range 1000 {
			p := []*producer.Producer{w.P, other}[i%2]
			all.Go(func() {
				if value, err := producer.Do(w.Context(), p, impatient, "hi"); err == nil && value == "hi!" {
					right.Add(1)
				}
			})
		}
		time.Sleep(6 * time.Second) // longer than Call waits by default
		s.Hold <- struct{}{}
		all.Wait()
		require.EqualValues(w, 1000, right.Load())
		require.EqualValues(w, 1, s.Runs.Load())
	})
}

func TestDoRefusesWhatSubmitRefuses(t *testing.T) {
	inOffice(t, func(w *office) {
		small := w.NewProducer(producer.Config{MaxArgs: 10})
		raw := refcache.Func[json.RawMessage, string]{Name: "raw"}
		for _, text := range []string{`"12345678901"`, `{"a":`, "\"\xff\"", `{"a":1,"a":2}`} {
			_, submitted := producer.Submit(w.Context(), small, raw, json.RawMessage(text))
			_, err := producer.Do(w.Context(), small, raw, json.RawMessage(text))
			require.EqualError(w, err, submitted.Error())
			require.Equal(w, errors.Is(submitted, refcache.ErrArgsTooLarge), errors.Is(err, refcache.ErrArgsTooLarge))
		}
		bad := kit.Echo
		bad.TTL = time.Millisecond
		_, err := producer.Do(w.Context(), w.P, bad, "hi")
		require.ErrorContains(w, err, "function echo: ttl is 1ms, must be at least 1s")
	})
}

// What was asked with another type of result is an error, and no half of a value.
func TestDoOfAResultThatDoesNotFitIsAnError(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		value, err := producer.Do(w.Context(), w.P, refcache.Func[string, int]{Name: "echo"}, "hi")
		require.ErrorContains(w, err, "does not fit int")
		require.Zero(w, value)
	})
}

// Do costs what Call costs, whether the call is new, joined, failed, stored or kept in memory.
func TestDoSendsTheCommandsThatCallSends(t *testing.T) {
	bad := kit.Once(kit.Echo)
	bad.Name = "bad"
	makers := map[string]func(ctx context.Context, p *producer.Producer, f refcache.Func[string, string]) error{
		"Do": func(ctx context.Context, p *producer.Producer, f refcache.Func[string, string]) error {
			return second(producer.Do(ctx, p, f, "hi"))
		},
		"Call": func(ctx context.Context, p *producer.Producer, f refcache.Func[string, string]) error {
			return second(producer.Call(ctx, p, f, "hi"))
		},
	}
	for name, c := range map[string]struct {
		f       refcache.Func[string, string]
		prepare func(w *office, p *producer.Producer)
		least   int
	}{
		"new":    {kit.Echo, func(*office, *producer.Producer) {}, 2},
		"joined": {kit.Echo, func(w *office, _ *producer.Producer) { w.Submit(kit.Echo, "hi") }, 2},
		"failed": {bad, func(w *office, _ *producer.Producer) { w.complete(w.P, "hi"); w.failed(bad, "hi") }, 2},
		"stored": {kit.Echo, func(w *office, _ *producer.Producer) { w.complete(w.P, "hi") }, 1},
		"kept":   {kit.Echo, func(w *office, p *producer.Producer) { w.complete(w.P, "hi"); w.kept(p, kit.Echo, "hi") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			sent := map[string][]string{}
			t.Run("both", func(t *testing.T) {
				for maker, call := range makers {
					t.Run(maker, func(t *testing.T) {
						inOffice(t, func(w *office) {
							p := w.keeper(producer.LocalCache{Entries: 100, Stale: time.Hour})
							c.prepare(w, p)
							time.Sleep(time.Minute) // what was counted is flushed
							w.Server.SetFaults(func(cmd []string) memredis.Fault {
								mu.Lock()
								defer mu.Unlock()
								sent[maker] = append(sent[maker], strings.Join(cmd[:min(2, len(cmd))], " "))
								return memredis.Pass
							})
							ctx, stop := context.WithTimeout(w.Context(), 10*time.Second)
							defer stop()
							err := call(ctx, p, c.f)
							w.Server.SetFaults(nil)
							require.Equal(w, name == "stored" || name == "kept", err == nil, err)
						})
					})
				}
			})
			did, called := aboutCalls(sent["Do"]), aboutCalls(sent["Call"])
			require.Equal(t, called, did)
			require.GreaterOrEqual(t, len(did), c.least)
			require.Equal(t, name == "kept", len(did) == 0)
		})
	}
}

// failed has a worker run a call that fails, and stop.
func (w *office) failed(f refcache.Func[string, string], in string) {
	w.Helper()
	wk := worker.New(w.Client(), worker.Config{Logger: slog.New(slog.DiscardHandler)})
	(&kit.Script{Errs: []error{kit.ErrDown}}).Of(f)(wk)
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- wk.Run(ctx) }()
	_, err := w.Call(f, in)
	require.Equal(w, refcache.Failed, kit.TaskError(w, err).Status)
	stop()
	require.NoError(w, <-ended)
}

func second[A any](_ A, err error) error { return err }

// aboutCalls leaves out what belongs to connections, as does a DEL each 10 s, and cuts the text of scripts.
func aboutCalls(commands []string) (kept []string) {
	for _, c := range commands {
		name := strings.ToLower(strings.Fields(c)[0])
		if !strings.Contains("hello client subscribe ssubscribe unsubscribe ping del", name) {
			kept = append(kept, c[:min(48, len(c))])
		}
	}
	slices.Sort(kept)
	return kept
}

// A local hit by Do makes nothing that Call does not make.
func TestDoAllocatesNoMoreThanCallForALocalHit(t *testing.T) {
	p, _ := newKeeper(t)
	ctx := t.Context()
	do := testing.AllocsPerRun(500, func() {
		if out, err := producer.Do(ctx, p, carry, inParcel); err != nil || out != inParcel {
			t.Error(err)
		}
	})
	call := testing.AllocsPerRun(500, func() {
		if res, err := producer.Call(ctx, p, carry, inParcel); err != nil || res.Value != inParcel {
			t.Error(err)
		}
	})
	require.LessOrEqual(t, do, call)
	require.NotZero(t, p.Counts()[0].Hits)
}
