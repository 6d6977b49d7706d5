package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// sleeper is a function whose attempts sleep for as long as the argument says, "fail" once before, and note when they
// start.
type sleeper struct {
	mu     sync.Mutex
	starts map[string][]time.Time
}

func (s *sleeper) run(ctx context.Context, in string) (string, error) {
	s.mu.Lock()
	if s.starts == nil {
		s.starts = map[string][]time.Time{}
	}
	s.starts[in] = append(s.starts[in], time.Now())
	first := len(s.starts[in]) == 1
	s.mu.Unlock()
	kind, _, _ := strings.Cut(in, " ")
	if kind == "fail" && first {
		return "", worker.RetryAfter(errDown, 4*time.Second)
	}
	if d, err := time.ParseDuration(kind); err == nil {
		time.Sleep(d)
	}
	return in, ctx.Err()
}

func (s *sleeper) attempts(in string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.starts[in])
}

func (w *house) submitMany(n int, kind string) (refs []refcache.Ref) {
	w.Helper()
	for i := range n {
		refs = append(refs, w.submit(work, fmt.Sprint(kind, " ", i)))
	}
	return refs
}

// dropAsynq deletes whatever asynq has.
func (w *house) dropAsynq() {
	w.Helper()
	keys := w.Redis.Keys(w.Context(), "asynq:*").Val()
	require.NotEmpty(w, keys)
	require.NoError(w, w.Redis.Del(w.Context(), keys...).Err())
}

func TestAllCallsRunAlthoughAsynqHasLostEverything(t *testing.T) {
	testkit.Long(t)
	inHouse(t, func(w *house) {
		fn := &sleeper{}
		w.Start(worker.Config{Concurrency: 60}, world.Handles(work, fn.run))
		running := w.submitMany(10, "12s")
		retrying := w.submitMany(20, "fail")
		w.await(retrying[19], refcache.Retrying)
		require.NoError(w, asynq.NewInspectorFromRedisClient(w.Redis).PauseQueue("default")) // as a backlog would
		pending := w.submitMany(500, "0s")
		w.dropAsynq()
		lost := time.Now()

		for _, ref := range slices.Concat(pending, retrying) {
			w.await(ref, refcache.Complete)
		}
		require.LessOrEqual(w, time.Since(lost), 9*time.Second)
		for _, ref := range running {
			w.await(ref, refcache.Complete)
		}
		for i := range 10 {
			require.Equal(w, 1, fn.attempts(fmt.Sprint("12s ", i)), "it ran on")
		}
		for i, ref := range retrying {
			starts := fn.starts[fmt.Sprint("fail ", i)]
			require.Len(w, starts, 2)
			require.GreaterOrEqual(w, starts[1].Sub(starts[0]), 4*time.Second, "early")
			require.Equal(w, 1, w.info(ref).RetryCount)
		}
		for i, ref := range pending {
			require.Equal(w, 1, fn.attempts(fmt.Sprint("0s ", i)))
			require.Zero(w, w.info(ref).LostCount)
		}
	})
}

// Where one doorbell got lost, many may have been: a batch in each second would be too slow.
func TestSweepGoesOnWhereDoorbellsAreMissing(t *testing.T) {
	testkit.Long(t)
	inHouse(t, func(w *house) {
		w.submitMany(2500, "0s")
		require.NoError(w, asynq.NewInspectorFromRedisClient(w.Redis).PauseQueue("default")) // they are only counted
		time.Sleep(6 * time.Second)
		require.NoError(w, w.Redis.Unlink(w.Context(), asynqPrefix+"pending").Err())
		w.Start(worker.Config{}, handleOther)
		time.Sleep(500 * time.Millisecond)
		require.EqualValues(w, 2500, w.Redis.LLen(w.Context(), asynqPrefix+"pending").Val())
		time.Sleep(3 * time.Second)
		require.EqualValues(w, 2500, w.Redis.LLen(w.Context(), asynqPrefix+"pending").Val(), "once is enough")
	})
}

// A backlog may be healthy up to the last task.
func TestOneLostDoorbellInAHealthyBacklogIsFound(t *testing.T) {
	testkit.Long(t)
	inHouse(t, func(w *house) {
		fn := &sleeper{}
		w.Start(worker.Config{Concurrency: 1}, world.Handles(work, fn.run))
		first := w.submit(work, "30s")
		w.await(first, refcache.Processing)
		healthy := w.submitMany(1500, "0s")
		lost := w.submit(work, "last")
		i := asynq.NewInspectorFromRedisClient(w.Redis)
		require.NoError(w, i.DeleteTask("default", string(lost)))
		time.Sleep(10 * time.Second)
		found, err := i.GetTaskInfo("default", string(lost))
		require.NoError(w, err)
		require.Equal(w, asynq.TaskStatePending, found.State)
		info, err := i.GetQueueInfo("default")
		require.NoError(w, err)
		require.Equal(w, len(healthy)+1, info.Pending, "nobody rang twice")
	})
}

func TestAHealthyWorkerSendsFewCommands(t *testing.T) {
	testkit.Long(t)
	inHouse(t, func(w *house) {
		fn := &sleeper{}
		w.Start(worker.Config{Concurrency: 1}, world.Handles(work, fn.run))
		first := w.submit(work, "60s")
		w.await(first, refcache.Processing)
		w.submitMany(500, "0s")
		time.Sleep(6 * time.Second)
		var mu sync.Mutex
		sent := map[string]int{}
		w.faults(func(script string, cmd []string) memredis.Fault {
			mu.Lock()
			defer mu.Unlock()
			sent[script+" "+cmd[0]]++
			return memredis.Pass
		})
		time.Sleep(10 * time.Second)
		w.faults(nil)
		mu.Lock() // one may be under way
		defer mu.Unlock()
		total := 0
		for _, n := range sent {
			total += n
		}
		require.LessOrEqual(w, total, 150, "in ten seconds: %v", sent)
	})
}

// Everything is gone, also what tells of the calls in flight: who waits is told so, and life goes on.
func TestFlushEndsWaitingAndNothingElse(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := &sleeper{}
		w.Start(worker.Config{Concurrency: 10}, world.Handles(work, fn.run))
		running := w.submitMany(5, "5s")
		retrying := w.submitMany(5, "fail")
		w.await(retrying[4], refcache.Retrying)
		require.NoError(w, asynq.NewInspectorFromRedisClient(w.Redis).PauseQueue("default"))
		pending := w.submitMany(5, "0s")
		all := slices.Concat(running, retrying, pending)
		waited := make(chan error, len(all)+1)
		for _, ref := range all {
			go func() {
				_, err := producerWait(w, work, ref)
				waited <- err
			}()
		}
		go func() {
			_, err := w.call(work, "5s 0")
			waited <- err
		}()
		time.Sleep(time.Second)
		require.NoError(w, w.Redis.FlushAll(w.Context()).Err())
		flushed := time.Now()
		for range len(all) + 1 {
			err := <-waited
			require.ErrorIs(w, err, refcache.ErrTaskNotFound)
			require.ErrorContains(w, err, "was deleted or lost meanwhile")
		}
		require.LessOrEqual(w, time.Since(flushed), 4*time.Second)

		for _, in := range []string{"5s 0", "fail 0", "0s 0", "new"} {
			res, err := w.call(work, in)
			require.NoError(w, err)
			require.Equal(w, in, res.Value)
		}
		var listed []string
		for info, err := range w.a.List(w.Context(), admin.Filter{}) {
			require.NoError(w, err)
			listed = append(listed, string(info.Status))
		}
		require.Equal(w, slices.Repeat([]string{"complete"}, 4), listed)
		time.Sleep(2 * time.Second)
		info, err := asynq.NewInspectorFromRedisClient(w.Redis).GetQueueInfo("default")
		require.NoError(w, err, "asynq's tools know the queue again")
		require.Zero(w, info.Size)
	})
}
