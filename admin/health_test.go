package admin_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

func (w *world) health() monitor.Health {
	w.Helper()
	h, err := w.a.Health(w.Context())
	require.NoError(w, err)
	return h
}

func (w *world) finding(id string) monitor.Finding {
	w.Helper()
	for _, f := range w.health().Findings() {
		if f.ID == id {
			return f
		}
	}
	require.FailNow(w, "no such finding", id)
	panic("unreachable")
}

func TestHealthOfAnEmptyRedis(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.health()
		require.True(w, h.Servers[0].InMemory)
		require.Zero(w, *h.Servers[0].ClockSkew)
		h.Servers = nil
		require.Equal(w, monitor.Health{}, h)
	})
}

func TestHealthShowsWorkersOfAllQueues(t *testing.T) {
	inWorld(t, func(w *world) {
		media := echo
		media.Name, media.Queue, media.Version = "thumb", "media", 2
		held := script{hold: make(chan struct{})}
		w.start(held.of(echo), held.of(media))
		first, second := w.submit(echo, "x"), w.submit(media, "x")
		w.until(first, refcache.Processing)
		w.until(second, refcache.Processing)
		time.Sleep(3 * time.Second) // a beat

		h := w.health()
		require.Len(w, h.Workers, 1)
		worker := h.Workers[0]
		host, err := os.Hostname()
		require.NoError(w, err)
		require.Contains(w, worker.ID, host)
		require.WithinDuration(w, time.Now().Add(-3*time.Second), *worker.Since, 3*time.Second)
		require.LessOrEqual(w, worker.Silent, 2*time.Second)
		require.Equal(w, monitor.WorkerHealth{ID: worker.ID, Host: host, PID: os.Getpid(), Queues: []string{"default", "media"},
			Functions: []string{"echo@1", "thumb@2"}, Since: worker.Since, LastBeat: worker.LastBeat, Silent: worker.Silent,
			Alive: true, Running: 2}, worker)
		require.Equal(w, []monitor.QueueHealth{{Name: "default", Processing: 1}, {Name: "media", Processing: 1}}, h.Queues)
		for _, f := range h.Findings() {
			require.True(w, f.Level == monitor.LevelOK || f.ID == "persistence", f)
		}
	})
}

func TestCallsThatNoWorkerServesAreFound(t *testing.T) {
	inWorld(t, func(w *world) {
		w.submit(echo, "x")
		require.Equal(w, monitor.LevelWrong, w.finding("workers").Level)
		require.Equal(w, "no worker for echo@1 in queue default (calls: 1)", w.finding("unserved").Fact)

		time.Sleep(2 * time.Minute)
		require.Equal(w, "pending for 2m0s in queue default; pending there: 1", w.finding("oldest_pending").Fact)

		var s script
		older := echo
		older.Version = 2
		w.start(s.of(older))
		time.Sleep(time.Second)
		require.Equal(w, monitor.LevelOK, w.finding("workers").Level)
		require.Equal(w, "no worker for echo@1 in queue default (calls: 1)", w.finding("unserved").Fact)

		w.start(s.of(echo))
		time.Sleep(time.Minute)
		require.Equal(w, monitor.LevelOK, w.finding("unserved").Level)
		require.Equal(w, monitor.LevelOK, w.finding("oldest_pending").Level)
	})
}

func TestAttemptsAndRetriesThatNobodyTakesOverAreFound(t *testing.T) {
	inWorld(t, func(w *world) {
		s := store.New(w.rdb)
		retried, lost := w.submit(echo, "retried"), w.submit(echo, "lost")
		for _, ref := range []refcache.Ref{retried, lost} {
			_, err := s.Claim(w.Context(), ref, "token of "+string(ref), "w1")
			require.NoError(w, err)
		}
		_, err := s.Finish(w.Context(), retried, "token of "+string(retried), store.Errored(store.Failure{Error: "x", Delay: time.Second}))
		require.NoError(w, err)
		require.Equal(w, "none", w.finding("leftovers").Fact)
		time.Sleep(time.Minute)
		require.Equal(w, monitor.LevelWrong, w.finding("leftovers").Level)
		require.Equal(w, "attempts of dead workers in queue default, and no worker that takes them over: 1", w.finding("leftovers").Fact)
		require.Equal(w, "late retries: 1, by up to 59s in queue default", w.finding("overdue").Fact)

		var runs script
		w.start(runs.of(echo))
		time.Sleep(time.Minute)
		require.Equal(w, monitor.LevelOK, w.finding("leftovers").Level)
		require.Equal(w, monitor.LevelOK, w.finding("overdue").Level)
		require.False(w, w.health().Wrong())
	})
}

func TestVanishedRecordsAreFound(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit(echo, "x")
		require.NoError(w, w.rdb.Del(w.Context(), "refq:{default}:t:"+ref.Hash()).Err())
		require.Equal(w, "calls of queue default whose record is gone: 1", w.finding("leftovers").Fact)
	})
}

func TestSlowRedisIsFound(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "TIME" {
				time.Sleep(200 * time.Millisecond)
			}
			return memredis.Pass
		})
		require.Equal(w, "200ms a trip; a call takes about six", w.finding("latency").Fact)
	})
}

func TestRedisThatRefusesIsAFindingAndOneThatIsAwayAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVAL" || cmd[0] == "EVALSHA" || cmd[0] == "SMEMBERS" {
				return memredis.Fault("NOPERM this user has no permissions to run the '" + cmd[0] + "' command")
			}
			return memredis.Pass
		})
		h := w.health()
		require.Equal(w, []monitor.Refusal{{Commands: []string{"EVAL"}}, {Commands: []string{"EVALSHA"}}}, h.Refused)
		require.Contains(w, h.Blind, "NOPERM")

		w.server.SetFaults(func([]string) memredis.Fault { return memredis.DropRequest })
		_, err := w.a.Health(w.Context())
		require.ErrorContains(w, err, "look at the health of Redis and workers: ")
	})
}

// A client waits for ever for the confirmation of a subscription, whatever ends its context.
func TestRedisThatFallsSilentDoesNotHoldUpTheLookAtItsHealth(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "SUBSCRIBE" {
				time.Sleep(time.Hour)
			}
			return memredis.Pass
		})
		start := time.Now()
		_, err := w.a.Health(w.Context())
		require.ErrorContains(w, err, "try to use channel refq:")
		require.Less(w, time.Since(start), time.Minute)
	})
}
