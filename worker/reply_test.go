package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// What a call may come to, and how often the function then has run.
var outcomes = []struct {
	name   string
	errs   []error // of the attempts, one after the other; then success
	status refcache.Status
	runs   int
}{
	{"success", nil, refcache.Complete, 1},
	{"retry", []error{errDown}, refcache.Complete, 2},
	{"permanent", []error{worker.Permanent(errDown)}, refcache.Failed, 1},
}

func TestLostMessagesEndInExactlyOneOutcome(t *testing.T) {
	for _, script := range []string{"submit", "enqueue", "dequeue_and_claim", "claim", "finish", "heartbeat"} {
		for _, fault := range []memredis.Fault{memredis.DropReply, memredis.DropRequest} {
			for _, outcome := range outcomes {
				if script == "claim" && outcome.name != "retry" {
					continue // a first attempt is claimed with its doorbell
				}
				t.Run(fmt.Sprintf("%s/%s/%s", script, fault, outcome.name), func(t *testing.T) {
					inHouse(t, func(w *house) {
						fn := &runs{fn: func(_ context.Context, attempt int) (string, error) {
							if attempt <= len(outcome.errs) {
								return "", outcome.errs[attempt-1]
							}
							return "done", nil
						}}
						f := work
						f.Retry.MaxRetries = 1
						if script == "enqueue" {
							w.cancelled(f, "in")
						}
						w.Start(worker.Config{}, world.Handles(work, fn.run))
						time.Sleep(time.Second)
						count := w.first(1, script, fault)
						res, err := w.call(f, "in")
						require.Equal(w, outcome.status, res.Status, err)
						time.Sleep(8 * time.Second) // whatever may still come
						require.GreaterOrEqual(w, count.Load(), int32(1), "there was no fault")
						info := w.info(res.RefID)
						require.Equal(w, outcome.status, info.Status)
						require.Equal(w, res.CompletedAt, info.CompletedAt)
						require.Equal(w, outcome.runs, fn.count())
						require.Equal(w, len(outcome.errs), info.AttemptsTotal-info.LostCount)
						wantLost := 0
						if (script == "dequeue_and_claim" || script == "claim") && fault == memredis.DropReply {
							wantLost = 1
						}
						require.Equal(w, wantLost, info.LostCount)
					})
				})
			}
		}
	}
}

func TestClaimWhoseAnswerIsLostIsGivenBackByItsOwnWorker(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		time.Sleep(time.Second) // until it is idle
		w.first(1, "dequeue_and_claim", memredis.DropReply)
		start := time.Now()
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Less(w, time.Since(start), 4*time.Second, "at the next beat, not when the worker is missed")
		lost := w.info(res.RefID).RetryHistory[0]
		require.Equal(w, refcache.CauseLost, lost.Cause)
		require.Regexp(w, `^worker \S+ claimed this attempt but never saw the answer$`, lost.Error)
	})
}

func TestOutcomeWaitsForRedisAsLongAsItTakes(t *testing.T) {
	inHouse(t, func(w *house) {
		end := time.Now().Add(40 * time.Second)
		w.until(end, "finish", memredis.DropRequest)
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.True(w, res.CompletedAt.After(end))
		require.Equal(w, 1, fn.count())
		require.Equal(w, 1, res.Attempt)
	})
}

// A server that is full refuses with ERR, as it does a broken record, but only the latter is hopeless.
func TestOutcomeIsNotGivenUpWhileTheServerIsFull(t *testing.T) {
	inHouse(t, func(w *house) {
		w.first(25, "finish", "ERR max number of clients reached")
		fn := failing(0)
		w.StartOn(&world.Host{Impatient: true}, worker.Config{}, world.Handles(work, fn.run))
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, 1, fn.count())
		require.Zero(w, res.LostCount)
	})
}

func TestOutcomeThatRedisRefusesForGoodIsGivenUp(t *testing.T) {
	inHouse(t, func(w *house) {
		w.first(20, "finish", "ERR user_script:95: damaged")
		var log logbook
		fn := failing(0)
		w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, fn.run))
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Equal(w, 1, log.count("outcome given up: Redis refuses it"))
		require.InDelta(w, 32, fn.gaps()[0].Seconds(), 3, "after half a minute: a failover heals")
		require.Equal(w, 1, res.LostCount, "the attempt is void, the next one came through")
		require.Equal(w, 2, fn.count())
	})
}

func TestSweepQueuesWhatCouldNotBeQueued(t *testing.T) {
	inHouse(t, func(w *house) {
		w.cancelled(work, "in")
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		time.Sleep(time.Second)
		w.first(1, "enqueue", "OOM command not allowed when used memory > 'maxmemory'.")
		start := time.Now()
		ref, err := producer.Submit(w.Context(), w.p, work, "in")
		require.ErrorIs(w, err, refcache.ErrNotQueued)
		require.ErrorContains(w, err, "OOM command not allowed")
		require.Equal(w, refcache.Pending, w.info(ref).Status)
		w.await(ref, refcache.Complete)
		require.InDelta(w, 6.5, fn.at(1).Sub(start).Seconds(), 1.5)
	})
}

func TestCallersWaitForWhatASweepQueues(t *testing.T) {
	patient := work
	patient.AsyncTimeout = 20 * time.Second
	for name, call := range map[string]func(w *house) (string, error){
		"one": func(w *house) (string, error) {
			res, err := producer.Call(w.Context(), w.p, patient, "in")
			return res.Value, err
		},
		"many": func(w *house) (value string, err error) {
			for _, res := range producer.CallMany(w.Context(), w.p, patient, slices.Values([]string{"in"})) {
				value, err = res.Value, res.Err
			}
			return value, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				w.cancelled(patient, "in")
				fn := failing(0)
				w.Start(worker.Config{}, world.Handles(work, fn.run))
				time.Sleep(time.Second)
				w.first(1, "enqueue", "OOM command not allowed when used memory > 'maxmemory'.")
				start := time.Now()
				value, err := call(w)
				require.NoError(w, err)
				require.Equal(w, "done", value)
				require.InDelta(w, 6.5, time.Since(start).Seconds(), 1.5)
			})
		})
	}
}

func TestProducerThatDiesBeforeItCouldQueueIsMadeUpFor(t *testing.T) {
	inHouse(t, func(w *house) {
		w.cancelled(work, "in")
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		time.Sleep(time.Second)
		dead := errors.New("killed")
		ctx, kill := context.WithCancelCause(w.Context())
		var submits atomic.Int32
		w.faults(func(script string, _ []string) memredis.Fault {
			if script == "submit" && submits.Add(1) == 1 {
				kill(dead)
				time.Sleep(time.Millisecond)
			}
			return memredis.Pass
		})
		_, err := producer.Submit(ctx, w.p, work, "in")
		require.Error(w, err)
		w.faults(nil)
		time.Sleep(9 * time.Second)
		require.Equal(w, 1, fn.count())
	})
}

// People's commands are sent again when their answer is lost. They must neither take effect twice nor seem refused.
func TestCommandsWhoseAnswerIsLostTakeEffectOnce(t *testing.T) {
	for _, fault := range []memredis.Fault{memredis.DropReply, memredis.DropRequest} {
		t.Run(string(fault), func(t *testing.T) {
			inHouse(t, func(w *house) {
				ctx := w.Context()
				lose := func(script string) {
					count := w.first(1, script, fault)
					w.Cleanup(func() { require.GreaterOrEqual(w, count.Load(), int32(1), "no %s was lost", script) })
				}
				held := &runs{fn: func(ctx context.Context, attempt int) (string, error) {
					if attempt <= 2 {
						return "", worker.Permanent(errDown)
					}
					return untilEnd(ctx, attempt)
				}}
				w.Start(worker.Config{}, world.Handles(work, held.run))
				f := work
				f.Retry.MaxRetries = 2
				_, err := w.call(f, "in")
				ref := failed(w, err).RefID

				lose("retry")
				res, err := w.a.Retry(ctx, ref)
				require.NoError(w, err)
				require.Equal(w, 1, res.RetryCount, "one was spent")
				w.await(ref, refcache.Failed)
				lose("retry")
				res, err = w.a.Retry(ctx, ref, admin.FreshBudget())
				require.NoError(w, err)
				require.Equal(w, 2, w.await(ref, refcache.Processing).Cycle)

				lose("cancel")
				require.NoError(w, w.a.Cancel(ctx, ref))
				info := w.info(ref)
				require.Equal(w, refcache.Cancelled, info.Status)
				require.Equal(w, []refcache.EventKind{refcache.EventRetry, refcache.EventFresh, refcache.EventCancel}, kinds(info))
				require.Equal(w, 3, info.AttemptsTotal)
				require.Equal(w, 3, held.count())

				lose("delete")
				require.NoError(w, w.p.Delete(ctx, ref))
				_, err = w.p.Info(ctx, ref)
				require.ErrorIs(w, err, refcache.ErrTaskNotFound)
			})
		})
	}
}

func TestRefreshWhoseAnswerIsLostIsStillWaitedFor(t *testing.T) {
	inHouse(t, func(w *house) {
		n := 0
		counting := func(context.Context, string) (string, error) {
			n++
			return fmt.Sprint(n), nil
		}
		w.Start(worker.Config{}, world.Handles(work, counting))
		_, err := w.call(work, "in")
		require.NoError(w, err)
		w.first(1, "submit", memredis.DropReply)
		res, err := w.call(work, "in", producer.Refresh())
		require.NoError(w, err)
		require.Equal(w, "2", res.Value, "not the old one")
		require.Equal(w, 2, n)
	})
}
