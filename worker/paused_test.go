package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var (
	pausedWork  = admin.Target{Func: "work"}
	pausedQueue = admin.Target{Queue: "default"}
)

func (w *house) pause(t admin.Target, terms admin.PauseTerms) {
	w.Helper()
	_, err := w.a.Pause(w.Context(), t, terms)
	require.NoError(w, err)
}

func (w *house) resume(t admin.Target) {
	w.Helper()
	was, err := w.a.Resume(w.Context(), t)
	require.NoError(w, err)
	require.True(w, was)
}

func TestAPausedFunctionStartsNothingUntilItIsResumed(t *testing.T) {
	for name, target := range map[string]admin.Target{"function": pausedWork, "version": {Func: "work@1"}, "queue": pausedQueue} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				fn := failing(0)
				w.Start(worker.Config{}, world.Handles(work, fn.run))
				time.Sleep(3 * time.Second)
				w.pause(target, admin.PauseTerms{Reason: "release"})
				time.Sleep(10 * time.Millisecond) // the message is heard
				ref := w.submit(work, "in")
				time.Sleep(time.Minute)
				require.Zero(w, fn.count())
				info := w.info(ref)
				require.Equal(w, refcache.Pending, info.Status)
				require.Zero(w, info.Attempt)
				require.Empty(w, info.Events, "nothing was handed back")
				require.Empty(w, info.Unserved)
				require.Equal(w, "ann@desk", info.Paused.By)
				require.Equal(w, target.String()+" is paused by ann@desk since "+info.Paused.At.Local().Format("15:04")+": release", info.Note)
				response, err := w.p.Get(w.Context(), ref)
				require.NoError(w, err)
				require.Equal(w, info.Note, response.Message)
				require.Equal(w, info.Paused, response.Paused)

				start := time.Now()
				w.resume(target)
				w.await(ref, refcache.Complete)
				require.Less(w, fn.at(1).Sub(start), 100*time.Millisecond)
				require.Zero(w, w.Redis.Exists(w.Context(), "refq:{default}:paused", "refq:{default}:aside", "asynq:{default}:paused").Val())
			})
		})
	}
}

func TestWhatRunsGoesOnInAPause(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, world.Handles(work, sleeping(30*time.Second)))
		ref := w.submit(work, "in")
		w.await(ref, refcache.Processing)
		w.pause(pausedWork, admin.PauseTerms{})
		w.pause(pausedQueue, admin.PauseTerms{})
		info := w.await(ref, refcache.Complete)
		require.Equal(w, 1, info.Attempt)
	})
}

func TestARetryThatBecomesDueInAPauseWaitsForItsEnd(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := failing(1)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		time.Sleep(3 * time.Second)
		ref := w.submit(work, "in")
		w.await(ref, refcache.Retrying)
		w.pause(pausedWork, admin.PauseTerms{For: 20 * time.Second})
		start := time.Now()
		time.Sleep(15 * time.Second)
		require.Equal(w, 1, fn.count())
		require.Equal(w, "work", w.info(ref).Paused.Func)
		require.Equal(w, 1, w.aside("work@1"))
		w.await(ref, refcache.Complete)
		ends := start.Add(20 * time.Second)
		require.False(w, fn.at(2).Before(ends))
		require.Less(w, fn.at(2).Sub(ends), 2100*time.Millisecond, "a sweep ends it")
		require.Empty(w, w.info(ref).Events)
	})
}

func TestAQueueIsResumedOnTime(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		time.Sleep(3 * time.Second)
		for n := range 5 {
			w.pause(pausedQueue, admin.PauseTerms{For: 10 * time.Second})
			ends := time.Now().Add(10 * time.Second)
			ref := w.submit(work, fmt.Sprint(n))
			w.await(ref, refcache.Complete)
			require.False(w, fn.at(n+1).Before(ends))
			require.Less(w, fn.at(n+1).Sub(ends), 2100*time.Millisecond)
		}
	})
}

// Messages to workers are lost. The next heartbeat tells, within 2 s, of a pause and of its end.
func TestAPauseWhoseMessageIsLostHoldsAfterTheNextHeartbeat(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := failing(0)
		busy := refcache.Func[string, string]{Name: "busy"}
		w.Start(worker.Config{Concurrency: 2}, world.Handles(work, fn.run), world.Handles(busy, sleeping(10*time.Millisecond)))
		time.Sleep(3 * time.Second)
		for n := range 10 {
			time.Sleep(time.Duration(n) * 300 * time.Millisecond)
			// As the scripts do it, but for the message.
			w.Redis.HSet(w.Context(), "refq:{default}:paused", "f:work", `{"by":"ann"}`)
			for range 20 {
				w.submit(busy, fmt.Sprint(n, time.Now()))
				w.submit(work, fmt.Sprint(n, time.Now()))
				time.Sleep(100 * time.Millisecond)
			}
			begun := fn.count()
			for range 50 {
				w.submit(work, fmt.Sprint(n, time.Now()))
				time.Sleep(100 * time.Millisecond)
			}
			require.Equal(w, begun, fn.count(), "calls that were started 2 s after the pause")
			last := w.submit(work, fmt.Sprint("last", n))
			w.Redis.HDel(w.Context(), "refq:{default}:paused", "f:work")
			start := time.Now()
			w.await(last, refcache.Complete)
			require.LessOrEqual(w, time.Since(start), 2500*time.Millisecond)
		}
	})
}

// A worker that comes back from the dead, or was cut off, learns by its first heartbeat.
func TestAWorkerThatStartsInAPauseStartsNothing(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := failing(0)
		first := w.Start(worker.Config{}, world.Handles(work, fn.run))
		time.Sleep(3 * time.Second)
		w.pause(pausedWork, admin.PauseTerms{})
		ref := w.submit(work, "in")
		first.Stop()
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		time.Sleep(10 * time.Second)
		require.Zero(w, fn.count())
		require.Empty(w, w.Redis.SMembers(w.Context(), "refq:{default}:knows:work@1").Val())
		w.resume(pausedWork)
		w.await(ref, refcache.Complete)
	})
}

func TestOneVersionIsPausedAndTheOtherRuns(t *testing.T) {
	inHouse(t, func(w *house) {
		second := work
		second.Version = 2
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run), world.Handles(second, func(context.Context, string) (string, error) { return "2", nil }))
		time.Sleep(3 * time.Second)
		w.pause(admin.Target{Func: "work@1"}, admin.PauseTerms{})
		time.Sleep(10 * time.Millisecond)
		held := w.submit(work, "in")
		for n := range 20 {
			start := time.Now()
			_, err := w.call(second, fmt.Sprint(n))
			require.NoError(w, err)
			require.Less(w, time.Since(start), 100*time.Millisecond)
		}
		require.Zero(w, fn.count())
		require.Equal(w, refcache.Pending, w.info(held).Status)
	})
}

func TestAPauseByAsynqsButtonIsToldWithoutWho(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(3 * time.Second)
		inspector := asynq.NewInspectorFromRedisClient(w.Redis)
		require.NoError(w, inspector.PauseQueue("default"))
		ref := w.submit(work, "in")
		time.Sleep(2 * time.Second)
		info := w.info(ref)
		require.Equal(w, "queue default is paused since "+info.Paused.At.Local().Format("15:04"), info.Note)
		require.NoError(w, inspector.UnpauseQueue("default"))
		w.await(ref, refcache.Complete)

		w.pause(pausedQueue, admin.PauseTerms{For: time.Hour})
		require.NoError(w, inspector.UnpauseQueue("default"))
		w.await(w.submit(work, "other"), refcache.Complete)
		time.Sleep(3 * time.Second)
		require.Zero(w, w.Redis.Exists(w.Context(), "refq:{default}:paused").Val(), "a sweep drops the note")
	})
}

func TestAPauseIsLoggedOnceForAllQueues(t *testing.T) {
	inHouse(t, func(w *house) {
		var log logbook
		other := work
		other.Name, other.Queue = "other", "media"
		w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, failing(0).run), world.Handles(other, failing(0).run))
		time.Sleep(3 * time.Second)
		w.pause(admin.Target{Func: work.Name}, admin.PauseTerms{})
		time.Sleep(5 * time.Second)
		require.Equal(w, 1, log.count("pauses have changed"), log.lines)
		require.Equal(w, 1, log.count("paused=[work@1] resumed=[]"), log.lines)
		w.resume(admin.Target{Func: work.Name})
		time.Sleep(5 * time.Second)
		require.Equal(w, 2, log.count("pauses have changed"), log.lines)
		require.Equal(w, 1, log.count("paused=[] resumed=[work@1]"), log.lines)
		require.Zero(w, log.count("queue=media"))
	})
}
