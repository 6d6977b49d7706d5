package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func recordOf(ref refcache.Ref) string { return "refq:{" + ref.Queue() + "}:t:" + ref.Hash() }

// damage writes to a record behind everybody's back.
func (w *house) damage(ref refcache.Ref, field string, value any) {
	w.Helper()
	require.NoError(w, storetest.Set(w.Context(), w.Redis, recordOf(ref), field, value))
}

func (w *house) fields(ref refcache.Ref) map[string]string {
	return w.Redis.HGetAll(w.Context(), recordOf(ref)).Val()
}

// soundWork calls a task that must be run at once.
func (w *house) soundWork(in string) {
	w.Helper()
	start := time.Now()
	_, err := w.call(work, in)
	require.NoError(w, err)
	require.Less(w, time.Since(start), 2*time.Second)
}

func TestDamagedTasksAreNotRunAndHoldNobodyUp(t *testing.T) {
	inHouse(t, func(w *house) {
		var refs []refcache.Ref
		for _, field := range []string{"attempt", "created_at", "status", "max_retries", "v", "retry_jitter"} {
			ref := w.submit(work, field)
			w.damage(ref, field, "damaged")
			refs = append(refs, ref)
		}
		for _, field := range []string{"func", "args", "created_at", "status"} {
			ref := w.submit(work, "without "+field)
			require.NoError(w, storetest.Remove(w.Context(), w.Redis, recordOf(ref), field))
			refs = append(refs, ref)
		}
		var before []map[string]string
		for _, ref := range refs {
			before = append(before, w.fields(ref))
		}

		var log logbook
		fn := failing(0)
		w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, fn.run))
		for n := range 20 {
			w.soundWork(fmt.Sprint(n))
			time.Sleep(time.Second)
		}
		require.Equal(w, 20, fn.count(), "none of the damaged ones was run")
		for i, ref := range refs {
			require.Equal(w, before[i], w.fields(ref))
			bell, err := asynq.NewInspectorFromRedisClient(w.Redis).GetTaskInfo("default", string(ref))
			require.NoError(w, err)
			require.Equal(w, asynq.TaskStateArchived, bell.State)
			require.Contains(w, bell.LastErr, fmt.Sprintf("record of %s is damaged: ", ref))
			require.Contains(w, bell.LastErr, fmt.Sprintf("refq delete %s removes it", ref))
		}
		require.Equal(w, len(refs), log.count("damaged record: task is not run"), "once for each")
		require.Equal(w, 1, log.count("there are tasks that cannot be looked after"), "and once a minute for all")
	})
}

func TestDamagedTaskRunsOnceItIsMended(t *testing.T) {
	inHouse(t, func(w *house) {
		ref := w.submit(work, "in")
		w.damage(ref, "attempt", "first")
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(10 * time.Second)
		require.NoError(w, storetest.Remove(w.Context(), w.Redis, recordOf(ref), "attempt"))
		require.Equal(w, 1, w.await(ref, refcache.Complete).Attempt, "a sweep rings anew")
	})
}

func TestDamagedTaskIsRunAnewAfterItWasDeleted(t *testing.T) {
	inHouse(t, func(w *house) {
		ref := w.submit(work, "in")
		w.damage(ref, "attempt", "first")
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(10 * time.Second)
		require.NoError(w, w.p.Delete(w.Context(), ref))
		w.soundWork("in")
	})
}

// The record was damaged while its function ran.
func TestOutcomeForADamagedRecordIsGivenUpAtOnce(t *testing.T) {
	inHouse(t, func(w *house) {
		var log logbook
		started, release := make(chan bool, 9), make(chan bool)
		held := func(context.Context, string) (string, error) {
			started <- true
			<-release
			return "done", nil
		}
		w.Start(worker.Config{Logger: log.logger(), Concurrency: 1}, world.Handles(work, held))
		ref := w.submit(work, "in")
		<-started
		w.damage(ref, "ttl", "long")
		before := w.fields(ref)
		close(release)
		w.soundWork("other") // in the same slot
		time.Sleep(5 * time.Second)
		require.Equal(w, 1, log.count("outcome given up"))
		require.Equal(w, 1, log.count("its attempt is given up"))
		require.Equal(w, before, w.fields(ref))
		require.Zero(w, w.Redis.HLen(w.Context(), "refq:{default}:claims:"+before["worker"]).Val(), "no claim is left on it")

		require.NoError(w, w.p.Delete(w.Context(), ref))
		w.soundWork("in")
	})
}

func TestDamagedAttemptsOfADeadWorkerDoNotKeepItsOthersFromBeingRedelivered(t *testing.T) {
	inHouse(t, func(w *house) {
		forever := &runs{fn: untilEnd}
		dead := w.Start(worker.Config{Concurrency: 20}, world.Handles(work, forever.run))
		var damaged, sound []refcache.Ref
		for n := range 10 {
			damaged = append(damaged, w.submit(work, fmt.Sprint("damaged ", n)))
			sound = append(sound, w.submit(work, fmt.Sprint("sound ", n)))
		}
		for forever.count() < 20 {
			time.Sleep(100 * time.Millisecond)
		}
		dead.Unplug()
		for n, ref := range damaged {
			if n%2 == 0 {
				w.damage(ref, "lost_count", "many")
			} else {
				w.Redis.Set(w.Context(), recordOf(ref), "no hash", 0)
			}
		}
		var log logbook
		w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, failing(0).run))
		for _, ref := range sound {
			require.Equal(w, 1, w.await(ref, refcache.Complete).LostCount)
		}
		time.Sleep(5 * time.Second)
		require.Equal(w, len(damaged), log.count("its attempt is given up"), "once for each")
		require.EqualValues(w, 1, w.Redis.ZCard(w.Context(), "refq:{default}:workers").Val(), "the dead one is forgotten")
	})
}

// Nothing of that queue is looked after until a person removes the key.
func TestKeyThatEndsEverySweepIsComplainedOfOnceAMinute(t *testing.T) {
	inHouse(t, func(w *house) {
		require.NoError(w, w.Redis.Set(w.Context(), "refq:{default}:failed", "no set", 0).Err())
		var log logbook
		w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, failing(0).run))
		time.Sleep(30 * time.Second)
		require.Equal(w, 1, log.count("Redis refuses what looks after tasks that were lost"))
		require.Equal(w, 1, log.count("sweep queue default: one of the keys refq:{default}:* is not refq's"))
		time.Sleep(time.Minute)
		require.Equal(w, 2, log.count("Redis refuses what looks after tasks that were lost"))
	})
}
