package producer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestWaiterIsToldOfEveryKindOfEnd(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, worker.Permanent(kit.ErrDown), nil}, Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		good := w.WaitFor(w.Submit(kit.Echo, "good"))
		s.Hold <- struct{}{}
		require.NoError(w, <-good)

		bad := w.WaitFor(w.Submit(kit.Echo, "bad"))
		s.Hold <- struct{}{}
		require.Equal(w, refcache.Failed, kit.TaskError(w, <-bad).Status)

		ref := w.Submit(kit.Echo, "ugly")
		ugly := w.WaitFor(ref)
		w.Until(ref, refcache.Processing)
		require.NoError(w, w.P.Cancel(w.Context(), ref))
		err := <-ugly
		require.Equal(w, refcache.Cancelled, kit.TaskError(w, err).Status)
		require.ErrorContains(w, err, "was cancelled")
	})
}

func TestToldWaiterDoesNotWaitForItsNextLook(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ended := w.WaitFor(w.Submit(kit.Echo, "hi"))
		time.Sleep(7*time.Second + 3*time.Millisecond) // by now it looks every 2 s
		began := time.Now()
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
		require.Less(w, time.Since(began), 50*time.Millisecond)
	})
}

func TestWaiterIsToldFromTheFirstMomentOn(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "hi")
		w.Until(ref, refcache.Processing)
		ended := w.WaitFor(ref)
		time.Sleep(20 * time.Millisecond)
		began := time.Now()
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
		require.Less(w, time.Since(began), 20*time.Millisecond, "before its first look")
	})
}

func TestWaiterIsToldAsSoonAsItsProducerCanHearAgain(t *testing.T) {
	inOffice(t, func(w *office) {
		began := time.Now()
		var back atomic.Bool
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			switch at := time.Since(began); {
			case strings.EqualFold(cmd[0], "PING") && at.Truncate(100*time.Millisecond) == 9*time.Second:
				return memredis.DropRequest // of the subscriptions: each 3 s they ask whether their connection lives
			case strings.EqualFold(cmd[0], "SUBSCRIBE") && strings.Contains(cmd[1], "}:in:") && at > time.Second:
				time.Sleep(500 * time.Millisecond)
				back.Store(true)
			}
			return memredis.Pass
		})
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ended := w.WaitFor(w.Submit(kit.Echo, "hi"))
		time.Sleep(9200 * time.Millisecond)
		require.False(w, back.Load())
		s.Hold <- struct{}{} // what is published now is not heard
		require.NoError(w, <-ended)
		require.True(w, back.Load())
		require.Less(w, time.Since(began), 10*time.Second, "its own look would have come at 11.1 s")
	})
}

func TestWaiterWhoseMessagesAreLostLooksItself(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasSuffix(strings.ToUpper(cmd[0]), "SUBSCRIBE") && strings.Contains(strings.Join(cmd[1:], " "), "}:in:") {
				return "NOPERM no channels for you"
			}
			return memredis.Pass
		})
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ended := w.WaitFor(w.Submit(kit.Echo, "hi"))
		time.Sleep(10 * time.Second)
		began := time.Now()
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
		require.LessOrEqual(w, time.Since(began), 2100*time.Millisecond)
	})
}

func TestACrowdOfWaitersLooksAThousandTimesASecond(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		const crowd = 3000
		ref := w.Submit(kit.Echo, "hi") // which nobody runs
		var looks atomic.Int64
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasPrefix(cmd[0], "EVAL") {
				looks.Add(1)
			}
			return memredis.Pass
		})
		ctx, leave := context.WithCancel(w.Context())
		var all sync.WaitGroup
		for range crowd {
			all.Go(func() { _, _ = w.P.Wait(ctx, ref) })
		}
		seconds := testkit.Rounds(20)
		time.Sleep(time.Duration(seconds) * time.Second)
		require.Equal(w, crowd, w.P.Waiters())
		require.InDelta(w, crowd+1000*seconds, looks.Load(), crowd) // each looks once when it comes
		leave()
		all.Wait()
		require.Zero(w, w.P.Waiters())
	})
}

func TestWaiterStaysThroughAnotherCycle(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "hi")
		w.Until(ref, refcache.Processing)
		// Deaf to messages, the waiter sleeps through the end of the first cycle and sees only the second.
		require.NoError(w, w.P.Close())
		ended := w.WaitFor(ref)
		time.Sleep(10 * time.Second)
		require.NoError(w, w.P.Cancel(w.Context(), ref))
		require.Equal(w, ref, w.Submit(kit.Echo, "hi"))
		w.Until(ref, refcache.Processing)
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
		require.Equal(w, 2, w.Info(ref).Cycle)
	})
}

func TestWaiterForADeletedTaskIsToldSo(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "hi")
		ended := w.WaitFor(ref)
		time.Sleep(time.Second)
		require.NoError(w, w.Redis.FlushAll(w.Context()).Err())
		require.ErrorIs(w, <-ended, refcache.ErrTaskNotFound)
	})
}

func TestWaitForWhatHasEndedDoesNotWait(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, kit.ErrDown}}
		w.Work(s.Of(kit.Echo))
		good, err := w.Call(kit.Echo, "good")
		require.NoError(w, err)
		bad, err := w.Call(kit.Once(kit.Echo), "bad")
		require.Error(w, err)
		cancelled := w.Submit(kit.Echo, "ugly")
		require.NoError(w, w.P.Cancel(w.Context(), cancelled))

		began := time.Now()
		ended, err := producer.Wait(w.Context(), w.P, kit.Echo, good.RefID)
		require.NoError(w, err)
		require.Equal(w, "good!", ended.Value)
		raw, err := w.P.Wait(w.Context(), good.RefID)
		require.NoError(w, err)
		require.JSONEq(w, `"good!"`, string(raw.Value))

		ended, err = producer.Wait(w.Context(), w.P, kit.Echo, bad.RefID)
		require.Equal(w, "service is down", kit.TaskError(w, err).Error)
		require.Empty(w, ended.Value)
		raw, err = w.P.Wait(w.Context(), cancelled)
		require.Equal(w, refcache.Cancelled, kit.TaskError(w, err).Status)
		require.Equal(w, refcache.Cancelled, raw.Status)
		require.Zero(w, time.Since(began))
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "hi")
		reason := errors.New("closed the page")
		ctx, cancel := context.WithTimeoutCause(w.Context(), 3*time.Second, reason)
		defer cancel()
		began := time.Now()
		_, err := producer.Wait(ctx, w.P, kit.Echo, ref)
		require.ErrorIs(w, err, reason)
		require.Equal(w, 3*time.Second, time.Since(began))
		require.Equal(w, refcache.Pending, w.Info(ref).Status)
	})
}

func TestWaiterLooksLessAndLessOften(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "hi")
		var looks atomic.Int32
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if slices.Contains(cmd, "refq:{default}:t:"+ref.Hash()) {
				looks.Add(1)
			}
			return memredis.Pass
		})
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		_, err := producer.Wait(ctx, w.P, kit.Echo, ref)
		require.ErrorIs(w, err, context.DeadlineExceeded)
		require.InDelta(w, 36, int(looks.Load()), 4, "after 0.1, 0.2, 0.4, 0.8, 1.6 s, then every 2 s")
	})
}

func TestWaiterStaysThroughARetryByHand(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}, Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		require.NoError(w, w.P.Close()) // deaf, it sees only what it looks at
		ref := w.Submit(kit.Once(kit.Echo), "hi")
		ended := w.WaitFor(ref)
		time.Sleep(8*time.Second + 10*time.Millisecond)
		s.Hold <- struct{}{}
		w.Until(ref, refcache.Failed)
		_, err := w.A.Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		time.Sleep(3 * time.Second)
		require.Empty(w, ended, "the cycle that it waited for is over, and another has begun")
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
	})
}

func TestCloseLeavesWaitersToTheirLooks(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ended := w.WaitFor(w.Submit(kit.Echo, "hi"))
		time.Sleep(10 * time.Second)
		require.NoError(w, w.P.Close())
		time.Sleep(5 * time.Second)
		require.Empty(w, ended)
		began := time.Now()
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
		require.LessOrEqual(w, time.Since(began), 2100*time.Millisecond)
		require.NoError(w, w.P.Close(), "closing twice does no harm")
	})
}

func TestWaiterForACancelledAndDeletedTaskIsToldThatItIsGone(t *testing.T) {
	inOffice(t, func(w *office) {
		require.NoError(w, w.P.Close()) // deaf
		ref := w.Submit(kit.Echo, "hi")
		ended := w.WaitFor(ref)
		time.Sleep(8 * time.Second)
		require.NoError(w, w.P.Cancel(w.Context(), ref))
		require.NoError(w, w.P.Delete(w.Context(), ref))
		err := <-ended
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		require.ErrorContains(w, err, "deleted or lost meanwhile")
	})
}

// A record has room for 64 inboxes; who finds none looks.
func TestEveryOneOfManyProducersGetsItsAnswer(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "hi")
		ended := make(chan error, 70)
		for range cap(ended) {
			p := producer.New(w.Redis, producer.Config{})
			defer p.Close()
			go func() {
				_, err := producer.Wait(w.Context(), p, kit.Echo, ref)
				ended <- err
			}()
		}
		time.Sleep(4 * time.Second)
		s.Hold <- struct{}{}
		began := time.Now()
		for range cap(ended) {
			require.NoError(w, <-ended)
		}
		require.LessOrEqual(w, time.Since(began), 2100*time.Millisecond)
	})
}

func TestWaiterOutlastsAnOutage(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "hi")
		ended := w.WaitFor(ref)
		time.Sleep(time.Second)
		w.Server.SetFaults(func([]string) memredis.Fault { return "LOADING Redis is loading the dataset in memory" })
		time.Sleep(20 * time.Second)
		require.Empty(w, ended)
		w.Server.SetFaults(nil)
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
	})
}

// A failover may take a refresh, or a retry by hand, back. The end that the record then shows is an earlier one, and no
// answer.
func TestWaiterDoesNotTakeAnEarlierEndForItsOwn(t *testing.T) {
	for name, again := range map[string]func(w *office, ref refcache.Ref) error{
		"refresh": func(w *office, _ refcache.Ref) error {
			_, err := w.Call(kit.Echo, "hi", producer.Refresh())
			return err
		},
		"retry": func(w *office, ref refcache.Ref) error {
			_, failed := w.P.Retry(w.Context(), ref)
			_, err := producer.Wait(w.Context(), w.P, kit.Echo, ref)
			return errors.Join(failed, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(w *office) {
				ref := w.Submit(kit.Echo, "hi")
				s := store.New(w.Redis)
				outcome := s.Completed([]byte(`"old"`))
				if name == "retry" {
					outcome = store.Errored(store.Failure{Error: "old", Permanent: true})
				}
				_, err := s.Claim(w.Context(), ref, "t1", "w1")
				require.NoError(w, err)
				_, err = s.Finish(w.Context(), ref, "t1", outcome)
				require.NoError(w, err)
				key := "refq:{default}:t:" + ref.Hash()
				earlier := w.Redis.HGetAll(w.Context(), key).Val()
				ended := make(chan error, 1)
				go func() { ended <- again(w, ref) }()
				time.Sleep(time.Second)
				_, err = w.Redis.TxPipelined(w.Context(), func(p redis.Pipeliner) error {
					p.Del(w.Context(), key)
					p.HSet(w.Context(), key, earlier)
					return nil
				})
				require.NoError(w, err)
				select {
				case err := <-ended:
					require.ErrorContains(w, err, "lost its last writes")
				case <-time.After(3 * time.Second):
					require.Fail(w, "it still waits")
				}
			})
		})
	}
}
