package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

const (
	away = "Redis does not answer"
	back = "Redis is back"
)

func TestWorkerSaysOnceAMinuteThatRedisIsAway(t *testing.T) {
	inHouse(t, func(w *house) {
		var log logbook
		h := w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, failing(0).run))
		time.Sleep(5 * time.Second)
		require.Zero(w, log.count(away))
		h.Unplug()
		time.Sleep(10 * time.Second)
		require.Equal(w, 1, log.count(away))
		time.Sleep(45 * time.Second)
		require.Equal(w, 1, log.count(away))
		time.Sleep(15 * time.Second)
		require.Equal(w, 2, log.count(away))
		require.Zero(w, log.count(back))
		h.Plug()
		time.Sleep(5 * time.Second)
		require.Equal(w, 1, log.count(back))
		require.Equal(w, 1, log.count("away=1m"), "and for how long it was")
		time.Sleep(10 * time.Second)
		require.Equal(w, []int{2, 1}, []int{log.count(away), log.count(back)})

		_, err := w.call(work, "in")
		require.NoError(w, err)
	})
}

func TestFlickeringRedisFillsNoLog(t *testing.T) {
	inHouse(t, func(w *house) {
		var log logbook
		h := w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, failing(0).run))
		time.Sleep(time.Second)
		for range 5 {
			h.Unplug()
			time.Sleep(6 * time.Second)
			h.Plug()
			time.Sleep(4 * time.Second)
		}
		require.Equal(w, []int{1, 1}, []int{log.count(away), log.count(back)}, "within 50 s")
	})
}

func TestWorkerMayStartBeforeRedis(t *testing.T) {
	inHouse(t, func(w *house) {
		var log logbook
		ref := w.submit(work, "in")
		h := w.unplugged(worker.Config{Logger: log.logger()}, world.Handles(work, failing(0).run))
		time.Sleep(20 * time.Second)
		require.Equal(w, 1, log.count(away))
		h.Plug()
		start := time.Now()
		w.await(ref, refcache.Complete)
		require.Less(w, time.Since(start), 5*time.Second)
	})
}

// asynq gives up an attempt 25 to 35 s into an outage; ours go on.
func TestOutageCostsNoAttempt(t *testing.T) {
	for name, tc := range map[string]struct {
		fails int // attempts, at the end of their work
		want  refcache.Status
	}{
		"of success": {0, refcache.Complete},
		"of failure": {1, refcache.Complete},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				running := make(chan bool, 2)
				long := &runs{fn: func(ctx context.Context, attempt int) (string, error) {
					running <- true
					if attempt == 1 {
						time.Sleep(40 * time.Second)
					}
					if attempt <= tc.fails {
						return "", errDown
					}
					return "done", ctx.Err()
				}}
				h := w.Start(worker.Config{}, world.Handles(work, long.run))
				ref := w.submit(work, "in")
				<-running
				h.Unplug()
				time.Sleep(50 * time.Second)
				h.Plug()
				restored := time.Now()
				info := w.await(ref, tc.want)
				require.Less(w, time.Since(restored), 10*time.Second)
				require.Equal(w, 1+tc.fails, long.count())
				require.Equal(w, tc.fails, info.AttemptsTotal)
				require.Zero(w, info.LostCount)
			})
		})
	}
}

func TestWorkerSurvivesAFlush(t *testing.T) {
	inHouse(t, func(w *house) {
		held, ends := noting()
		w.Start(worker.Config{}, world.Handles(work, held), handleOther)
		ref := w.submit(work, "in")
		w.await(ref, refcache.Processing)
		require.NoError(w, w.Redis.FlushAll(w.Context()).Err())
		require.ErrorIs(w, (<-ends).cause, worker.ErrVoid)
		_, err := w.p.Info(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound, "the outcome of what is gone is not written")

		w.submit(work, "in")
		w.await(ref, refcache.Processing)
		w.cancel(ref)
	})
}
