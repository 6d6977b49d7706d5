package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// stopping stops the worker and returns how long that took.
func stopping(h *world.Host) time.Duration {
	start := time.Now()
	h.Stop()
	return time.Since(start)
}

// sleeping runs for d, whatever its context says.
func sleeping(d time.Duration) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		time.Sleep(d)
		return "slept", nil
	}
}

// requireHandedBack checks that a task was given back as if it had never been tried.
func requireHandedBack(t require.TestingT, info refcache.TaskInfo) {
	require.Equal(t, refcache.Pending, info.Status)
	require.Zero(t, info.Attempt)
	require.Zero(t, info.RetryCount)
	require.Zero(t, info.LostCount)
	require.Empty(t, info.RetryHistory)
	require.Nil(t, info.StartedAt)
	require.Len(t, info.Events, 1)
	require.Equal(t, refcache.EventHandedBack, info.Events[0].Kind)
	require.NotEmpty(t, info.Events[0].By)
}

func TestStoppingWorkerLetsAttemptsFinish(t *testing.T) {
	inHouse(t, func(w *house) {
		h := w.Start(worker.Config{}, world.Handles(work, sleeping(5*time.Second)))
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		require.InDelta(w, 4.4, stopping(h).Seconds(), 0.6)
		info := w.info(ref)
		require.Equal(w, refcache.Complete, info.Status)
		require.Empty(w, info.Events)
	})
}

func TestAWorkerThatStopsSaysWhatRuns(t *testing.T) {
	inHouse(t, func(w *house) {
		var log logbook
		h := w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, sleeping(5*time.Second)))
		w.submit(work, "in")
		time.Sleep(time.Second)
		h.Stop()
		require.Regexp(w, "worker stopping.* running=1\n", log.lines[1])
	})
}

func TestAnIdleWorkerThatStopsSaysThatNothingRuns(t *testing.T) {
	for after := 150 * time.Millisecond; after <= time.Second; after += 100 * time.Millisecond {
		t.Run(after.String(), func(t *testing.T) {
			inHouse(t, func(w *house) {
				var log logbook
				var handles []func(*worker.Worker)
				for n := range 60 {
					idle := work
					idle.Name, idle.Queue = fmt.Sprint("idle", n), fmt.Sprint("idle", n)
					handles = append(handles, world.Handles(idle, sleeping(0)))
				}
				h := &world.Host{}
				h.Lag(100 * time.Millisecond) // what it asks for first is not answered yet
				w.StartOn(h, worker.Config{Logger: log.logger()}, handles...)
				time.Sleep(after)
				h.Stop()
				require.Regexp(w, "worker stopping.* running=0\n", log.lines[1])
			})
		})
	}
}

func TestAnIdleWorkerOfManyQueuesStopsSoon(t *testing.T) {
	inHouse(t, func(w *house) {
		const queues = 300
		var log logbook
		var handles []func(*worker.Worker)
		for n := range queues {
			f := work
			f.Name, f.Queue = fmt.Sprintf("work-%03d", n), fmt.Sprintf("queue-%03d", n)
			handles = append(handles, world.Handles(f, failing(0).run))
		}
		h := w.Start(worker.Config{Logger: log.logger()}, handles...)
		time.Sleep(5 * time.Second)
		require.Less(w, stopping(h), 1500*time.Millisecond)
		require.Contains(w, log.lines[0], `queues="[queue-000 queue-001 queue-002 queue-003 queue-004 and 295 more]"`)
		for n := range queues {
			require.Empty(w, w.Redis.ZRange(w.Context(), fmt.Sprintf("refq:{queue-%03d}:workers", n), 0, -1).Val())
		}
	})
}

func TestStoppingWorkerHandsBackWhatDoesNotFinish(t *testing.T) {
	inHouse(t, func(w *house) {
		var cause error
		var grace time.Duration
		stubborn := func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			cause, grace = context.Cause(ctx), worker.Grace(ctx)
			return "", errors.New("interrupted")
		}
		h := w.Start(worker.Config{}, world.Handles(work, stubborn))
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		took := stopping(h)
		require.InDelta(w, 6, took.Seconds(), 0.7, "three quarters of 8 s")
		require.ErrorIs(w, cause, worker.ErrShutdown)
		require.Equal(w, time.Second, grace)
		requireHandedBack(w, w.info(ref))

		again := failing(0)
		w.Start(worker.Config{}, world.Handles(work, again.run))
		start := time.Now()
		res, err := w.call(work, "in")
		require.NoError(w, err)
		require.Less(w, time.Since(start), 1500*time.Millisecond, "started at once")
		require.Equal(w, 1, res.Attempt)
		require.Equal(w, ref, res.RefID)
	})
}

func TestStoppingWorkerHandsOverToOneThatRuns(t *testing.T) {
	t.Run("with retries left", func(t *testing.T) { handsOver(t, work) })
	// asynq would archive the doorbell: by its count, nothing is left to try.
	last := work
	last.Retry.MaxRetries = refcache.NoRetries
	t.Run("on its last try", func(t *testing.T) { handsOver(t, last) })
}

func handsOver(t *testing.T, f refcache.Func[string, string]) {
	inHouse(t, func(w *house) {
		begun := make(chan bool, 1)
		held := func(ctx context.Context, _ string) (string, error) {
			begun <- true
			return untilEnd(ctx, 1)
		}
		h := w.Start(worker.Config{ShutdownTimeout: 2 * time.Second}, world.Handles(f, held))
		ref := w.submit(f, "in")
		<-begun
		other := failing(0)
		w.Start(worker.Config{}, world.Handles(f, other.run))
		h.Stop()
		handedBack := time.Now()
		w.await(ref, refcache.Complete)
		require.Less(w, other.at(1).Sub(handedBack), time.Second)
		require.Equal(w, 1, other.count())
	})
}

// The record says pending, and asynq thinks that the doorbell is being answered.
func TestHandedBackCallThatAsynqWasNotToldOfRunsElsewhere(t *testing.T) {
	inHouse(t, func(w *house) {
		begun := make(chan bool, 1)
		held := func(ctx context.Context, _ string) (string, error) {
			begun <- true
			return untilEnd(ctx, 1)
		}
		w.faults(func(_ string, cmd []string) memredis.Fault {
			if line := strings.Join(cmd, " "); strings.Contains(line, "}:active ") && strings.Contains(line, "}:retry ") {
				return "ERR no answer is taken"
			}
			return memredis.Pass
		})
		h := w.Start(worker.Config{ShutdownTimeout: 2 * time.Second}, world.Handles(work, held))
		ref := w.submit(work, "in")
		<-begun
		h.Stop()
		handedBack := time.Now()
		w.faults(nil)
		require.Equal(w, refcache.Pending, w.info(ref).Status)
		other := failing(0)
		w.Start(worker.Config{}, world.Handles(work, other.run))
		w.await(ref, refcache.Complete)
		require.Less(w, other.at(1).Sub(handedBack), 12*time.Second)
		require.Equal(w, 1, other.count())
	})
}

func TestShutdownTimeoutBoundsFunctionsThatIgnoreTheirContext(t *testing.T) {
	inHouse(t, func(w *house) {
		h := w.Start(worker.Config{ShutdownTimeout: 4 * time.Second}, world.Handles(work, sleeping(time.Minute)))
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		require.LessOrEqual(w, stopping(h), 4*time.Second)
		requireHandedBack(w, w.info(ref))
		time.Sleep(time.Minute)
		requireHandedBack(w, w.info(ref))
	})
}

func TestNegativeShutdownTimeoutInterruptsAtOnce(t *testing.T) {
	for name, fn := range map[string]func(context.Context, string) (string, error){
		"obeys":   func(ctx context.Context, _ string) (string, error) { return untilEnd(ctx, 1) },
		"ignores": sleeping(time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				h := w.Start(worker.Config{ShutdownTimeout: -1}, world.Handles(work, fn))
				ref := w.submit(work, "in")
				time.Sleep(time.Second)
				require.Less(w, stopping(h), time.Second)
				requireHandedBack(w, w.info(ref))
			})
		})
	}
}

func TestStoppingWorkerStartsNothing(t *testing.T) {
	inHouse(t, func(w *house) {
		slow := failing(0)
		slow.fn = func(context.Context, int) (string, error) {
			time.Sleep(4 * time.Second)
			return "", nil
		}
		h := w.Start(worker.Config{Concurrency: 2}, world.Handles(work, slow.run))
		w.submit(work, "first")
		time.Sleep(time.Second)
		go func() {
			time.Sleep(100 * time.Millisecond)
			w.submit(work, "second")
		}()
		h.Stop()
		require.Equal(w, 1, slow.count())
	})
}

// A claim that is answered after the interruption would else run on until the end, and then be lost.
func TestAttemptClaimedTooLateIsInterruptedToo(t *testing.T) {
	inHouse(t, func(w *house) {
		w.delay("dequeue_and_claim", 1500*time.Millisecond)
		h := w.Start(worker.Config{ShutdownTimeout: -1}, world.Handles(work, sleeping(time.Minute)))
		ref := w.submit(work, "in")
		time.Sleep(1200 * time.Millisecond) // claiming
		h.Stop()
		time.Sleep(time.Second)
		require.NotEqual(w, refcache.Processing, w.info(ref).Status)
	})
}

func TestFailureBeforeTheInterruptionCounts(t *testing.T) {
	inHouse(t, func(w *house) {
		slow := func(context.Context, string) (string, error) {
			time.Sleep(3 * time.Second)
			return "", errDown
		}
		h := w.Start(worker.Config{}, world.Handles(work, slow))
		ref := w.submit(work, "in")
		time.Sleep(time.Second)
		h.Stop()
		info := w.info(ref)
		require.Equal(w, refcache.Retrying, info.Status)
		require.Equal(w, 1, info.RetryCount)
	})
}

func TestStoppedWorkerLeavesTheIndex(t *testing.T) {
	inHouse(t, func(w *house) {
		h := w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(time.Second)
		require.EqualValues(w, 1, w.Redis.ZCard(w.Context(), "refq:{default}:workers").Val())
		h.Stop()
		require.Zero(w, w.Redis.ZCard(w.Context(), "refq:{default}:workers").Val())
	})
}

func TestWorkerStopsInTimeWhileRedisIsAway(t *testing.T) {
	inHouse(t, func(w *house) {
		h := w.Start(worker.Config{}, world.Handles(work, sleeping(20*time.Second)))
		w.submit(work, "in")
		time.Sleep(time.Second)
		h.Unplug()
		h.Leaves = true
		require.LessOrEqual(w, stopping(h), 8*time.Second)
		time.Sleep(20 * time.Second)
	})
}

// silence makes Redis answer no scripts for a minute.
func (w *house) silence() {
	end := time.Now().Add(time.Minute)
	w.faults(func(_ string, cmd []string) memredis.Fault {
		if strings.HasPrefix(cmd[0], "EVAL") {
			time.Sleep(time.Until(end))
		}
		return memredis.Pass
	})
}

func TestWorkerStopsInTimeWhileRedisIsSilent(t *testing.T) {
	inHouse(t, func(w *house) {
		h := w.Start(worker.Config{}, world.Handles(work, sleeping(20*time.Second)))
		w.submit(work, "in")
		time.Sleep(time.Second)
		w.silence()
		h.Leaves = true
		require.LessOrEqual(w, stopping(h), 8*time.Second)
		time.Sleep(time.Minute)
	})
}

// What asynq still does after that must not bring the process down.
func TestClientMayBeClosedAsSoonAsRunHasReturned(t *testing.T) {
	inHouse(t, func(w *house) {
		h := w.Start(worker.Config{ShutdownTimeout: -1}, world.Handles(work, sleeping(20*time.Second)))
		w.submit(work, "in")
		time.Sleep(time.Second)
		w.silence()
		h.Leaves = true
		h.Stop()
		require.NoError(w, h.Redis.Close())
		time.Sleep(2 * time.Minute)
	})
}

func TestTimeoutIsWrittenThoughTheWorkerStopsInItsGrace(t *testing.T) {
	inHouse(t, func(w *house) {
		h := w.Start(worker.Config{ShutdownTimeout: 2 * time.Second}, world.Handles(work, sleeping(20*time.Second)))
		f := work
		f.Timeout = time.Second
		ref := w.submit(f, "in")
		time.Sleep(1500 * time.Millisecond) // timed out, and in its grace of 5 s
		require.LessOrEqual(w, stopping(h), 2*time.Second)
		info := w.info(ref)
		require.Equal(w, refcache.Retrying, info.Status)
		require.Equal(w, refcache.CauseTimeout, info.ErrorCause)
	})
}
