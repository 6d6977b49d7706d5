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
func (w *world) do(ctx context.Context, f refcache.Func[string, string], in string, options ...producer.CallOption) <-chan done {
	ended := make(chan done, 1)
	go func() {
		value, err := producer.Do(ctx, w.p, f, in, options...)
		ended <- done{value, err}
	}()
	return ended
}

func TestDoAnswersTheResultInEveryStatus(t *testing.T) {
	for name, prepare := range map[string]func(w *world, s *script) (then func(), runs int){
		"not made yet": func(*world, *script) (func(), int) { return func() {}, 1 },
		"pending": func(w *world, s *script) (func(), int) {
			w.submit(impatient, "hi")
			return func() {}, 1
		},
		"processing": func(w *world, s *script) (func(), int) {
			s.hold = make(chan struct{})
			w.start(s.of(echo))
			w.until(w.submit(impatient, "hi"), refcache.Processing)
			return func() { s.hold <- struct{}{} }, 1
		},
		"retrying": func(w *world, s *script) (func(), int) {
			s.errs = []error{errDown, nil}
			w.start(s.of(echo))
			w.until(w.submit(impatient, "hi"), refcache.Retrying)
			return func() {}, 2
		},
		"complete": func(w *world, s *script) (func(), int) {
			w.start(s.of(echo))
			w.until(w.submit(impatient, "hi"), refcache.Complete)
			return func() {}, 1
		},
		"cancelled": func(w *world, s *script) (func(), int) {
			require.NoError(w, w.p.Cancel(w.Context(), w.submit(impatient, "hi")))
			return func() {}, 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				var s script
				then, runs := prepare(w, &s)
				ended := w.do(w.Context(), impatient, "hi")
				time.Sleep(10 * time.Second) // longer than any AsyncTimeout by default
				if s.runs.Load() == 0 {
					require.Empty(w, ended, "it waits for a worker")
					w.start(s.of(echo))
				}
				then()
				require.Equal(w, done{"hi!", nil}, <-ended)
				require.EqualValues(w, runs, s.runs.Load())
				require.Zero(w, w.p.Waiters())
			})
		})
	}
}

func TestDoOfWhatFailedIsAnErrorWithTheZeroValue(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown}}
		w.start(s.of(echo))
		for range 2 { // the first runs it, the second finds it failed
			value, err := producer.Do(w.Context(), w.p, once(echo), "hi")
			require.Equal(w, refcache.Failed, taskError(w, err).Status)
			require.Equal(w, errDown.Error(), taskError(w, err).Error)
			require.Empty(w, value)
		}
		require.EqualValues(w, 1, s.runs.Load())
		s.errs = nil
		value, err := producer.Do(w.Context(), w.p, once(echo), "hi", producer.RetryFailed())
		require.NoError(w, err)
		require.Equal(w, "hi!", value)
	})
}

func TestDoOfACallThatIsCalledOffIsAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		ended := w.do(w.Context(), echo, "hi")
		time.Sleep(time.Minute)
		require.NoError(w, w.p.Cancel(w.Context(), w.submit(echo, "hi")))
		end := <-ended
		require.Equal(w, refcache.Cancelled, taskError(w, end.err).Status)
		require.Empty(w, end.value)
	})
}

func TestDoOfACallThatIsDeletedIsToldSo(t *testing.T) {
	inWorld(t, func(w *world) {
		require.NoError(w, w.p.Close()) // deaf
		ended := w.do(w.Context(), echo, "hi")
		time.Sleep(8 * time.Second)
		ref := w.submit(echo, "hi")
		require.NoError(w, w.p.Cancel(w.Context(), ref))
		require.NoError(w, w.p.Delete(w.Context(), ref))
		require.ErrorIs(w, (<-ended).err, refcache.ErrTaskNotFound)
	})
}

func TestTheEndOfItsContextEndsDoAndNotTheCall(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{hold: make(chan struct{})}
		w.start(s.of(echo))
		ctx, stop := context.WithCancelCause(w.Context())
		ended := w.do(ctx, echo, "hi")
		time.Sleep(time.Minute)
		left := errors.New("the user has left")
		stop(left)
		end := <-ended
		ref := w.submit(echo, "hi")
		require.ErrorIs(w, end.err, left)
		require.ErrorContains(w, end.err, string(ref))
		require.NotErrorIs(w, end.err, refcache.ErrNotQueued)
		require.Empty(w, end.value)

		s.hold <- struct{}{}
		require.NoError(w, <-w.waitFor(ref))
		end = <-w.do(ctx, echo, "another")
		require.ErrorIs(w, end.err, left, "also when it had ended before")
		require.ErrorContains(w, end.err, "default:")
	})
}

func TestDoWaitsForACallThatCouldNotBeQueued(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cancelled(echo, slices.Values([]string{"hi"}))
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		})
		ctx, stop := context.WithTimeout(w.Context(), time.Minute)
		defer stop()
		end := <-w.do(ctx, echo, "hi")
		require.ErrorIs(w, end.err, context.DeadlineExceeded)
		require.ErrorIs(w, end.err, refcache.ErrNotQueued)

		ended := w.do(w.Context(), echo, "hi")
		time.Sleep(time.Minute)
		require.Empty(w, ended)
		w.server.SetFaults(nil)
		w.start((&script{}).of(echo)) // its sweep queues the call
		require.Equal(w, done{"hi!", nil}, <-ended)
	})
}

func TestDoOutlastsAnOutage(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{hold: make(chan struct{})}
		w.start(s.of(echo))
		ended := w.do(w.Context(), impatient, "hi")
		time.Sleep(time.Second)
		w.server.SetFaults(func([]string) memredis.Fault { return "LOADING Redis is loading the dataset in memory" })
		time.Sleep(10 * time.Second)
		_, err := producer.Do(w.Context(), w.p, echo, "another")
		require.ErrorContains(w, err, "LOADING", "it is not known whether the call was made")
		time.Sleep(10 * time.Second)
		require.Empty(w, ended)
		w.server.SetFaults(nil)
		s.hold <- struct{}{}
		require.Equal(w, done{"hi!", nil}, <-ended)
	})
}

func TestDoBesideARefreshAnswersTheOldResult(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{numbered: true}
		w.start(s.of(echo))
		require.Equal(w, done{"hi 1", nil}, <-w.do(w.Context(), echo, "hi"))
		s.hold = make(chan struct{})
		refreshed := w.do(w.Context(), echo, "hi", producer.Refresh())
		time.Sleep(time.Minute)
		began := time.Now()
		require.Equal(w, done{"hi 1", nil}, <-w.do(w.Context(), impatient, "hi"))
		require.Zero(w, time.Since(began))
		require.Empty(w, refreshed, "who asked for the new one waits for it")
		s.hold <- struct{}{}
		require.Equal(w, done{"hi 2", nil}, <-refreshed)
	})
}

func TestDoServesTheOldResultWhileTheRefreshCannotBeQueued(t *testing.T) {
	inWorld(t, func(w *world) {
		w.complete(w.p, "hi")
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		})
		_, err := producer.Submit(w.Context(), w.p, echo, "hi", producer.Refresh())
		require.ErrorIs(w, err, refcache.ErrNotQueued)
		require.Equal(w, done{"hi 1", nil}, <-w.do(w.Context(), echo, "hi"))
	})
}

func TestAThousandDoOfOneCallAreOneExecution(t *testing.T) {
	testkit.Long(t)
	inWorld(t, func(w *world) {
		s := script{hold: make(chan struct{})}
		w.start(s.of(echo))
		other := w.producer(producer.Config{})
		var all sync.WaitGroup
		var right atomic.Int32
		for i := range 1000 {
			p := []*producer.Producer{w.p, other}[i%2]
			all.Go(func() {
				if value, err := producer.Do(w.Context(), p, impatient, "hi"); err == nil && value == "hi!" {
					right.Add(1)
				}
			})
		}
		time.Sleep(6 * time.Second) // longer than Call waits by default
		s.hold <- struct{}{}
		all.Wait()
		require.EqualValues(w, 1000, right.Load())
		require.EqualValues(w, 1, s.runs.Load())
	})
}

func TestDoRefusesWhatSubmitRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		small := w.producer(producer.Config{MaxArgs: 10})
		raw := refcache.Func[json.RawMessage, string]{Name: "raw"}
		for _, text := range []string{`"12345678901"`, `{"a":`, "\"\xff\"", `{"a":1,"a":2}`} {
			_, submitted := producer.Submit(w.Context(), small, raw, json.RawMessage(text))
			_, err := producer.Do(w.Context(), small, raw, json.RawMessage(text))
			require.EqualError(w, err, submitted.Error())
			require.Equal(w, errors.Is(submitted, refcache.ErrArgsTooLarge), errors.Is(err, refcache.ErrArgsTooLarge))
		}
		bad := echo
		bad.TTL = time.Millisecond
		_, err := producer.Do(w.Context(), w.p, bad, "hi")
		require.ErrorContains(w, err, "function echo: ttl is 1ms, must be at least 1s")
	})
}

// What was asked with another type of result is an error, and no half of a value.
func TestDoOfAResultThatDoesNotFitIsAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start((&script{}).of(echo))
		value, err := producer.Do(w.Context(), w.p, refcache.Func[string, int]{Name: "echo"}, "hi")
		require.ErrorContains(w, err, "does not fit int")
		require.Zero(w, value)
	})
}

// Do costs what Call costs, whether the call is new, joined, failed, stored or kept in memory.
func TestDoSendsTheCommandsThatCallSends(t *testing.T) {
	bad := once(echo)
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
		prepare func(w *world, p *producer.Producer)
		least   int
	}{
		"new":    {echo, func(*world, *producer.Producer) {}, 2},
		"joined": {echo, func(w *world, _ *producer.Producer) { w.submit(echo, "hi") }, 2},
		"failed": {bad, func(w *world, _ *producer.Producer) { w.complete(w.p, "hi"); w.failed(bad, "hi") }, 2},
		"stored": {echo, func(w *world, _ *producer.Producer) { w.complete(w.p, "hi") }, 1},
		"kept":   {echo, func(w *world, p *producer.Producer) { w.complete(w.p, "hi"); w.kept(p, echo, "hi") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			sent := map[string][]string{}
			t.Run("both", func(t *testing.T) {
				for maker, call := range makers {
					t.Run(maker, func(t *testing.T) {
						inWorld(t, func(w *world) {
							p := w.keeper(producer.LocalCache{Entries: 100, Stale: time.Hour})
							c.prepare(w, p)
							time.Sleep(time.Minute) // what was counted is flushed
							w.server.SetFaults(func(cmd []string) memredis.Fault {
								mu.Lock()
								defer mu.Unlock()
								sent[maker] = append(sent[maker], strings.Join(cmd[:min(2, len(cmd))], " "))
								return memredis.Pass
							})
							ctx, stop := context.WithTimeout(w.Context(), 10*time.Second)
							defer stop()
							err := call(ctx, p, c.f)
							w.server.SetFaults(nil)
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
func (w *world) failed(f refcache.Func[string, string], in string) {
	w.Helper()
	wk := worker.New(w.client(), worker.Config{Logger: slog.New(slog.DiscardHandler)})
	(&script{errs: []error{errDown}}).of(f)(wk)
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- wk.Run(ctx) }()
	_, err := w.call(f, in)
	require.Equal(w, refcache.Failed, taskError(w, err).Status)
	stop()
	require.NoError(w, <-ended)
}

func second[A any](_ A, err error) error { return err }

// aboutCalls leaves out what belongs to connections, and cuts the text of scripts.
func aboutCalls(commands []string) (kept []string) {
	for _, c := range commands {
		name := strings.ToLower(strings.Fields(c)[0])
		if !strings.Contains("hello client subscribe unsubscribe ping", name) {
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
