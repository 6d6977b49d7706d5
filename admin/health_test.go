package admin_test

import (
	"os"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

func (w *office) health() monitor.Health {
	w.Helper()
	h, err := w.A.Health(w.Context())
	require.NoError(w, err)
	return h
}

func (w *office) finding(id string) monitor.Finding {
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
	inOffice(t, func(w *office) {
		h := w.health()
		require.True(w, h.Servers[0].InMemory)
		require.Zero(w, *h.Servers[0].ClockSkew)
		h.Servers = nil
		require.Equal(w, monitor.Health{Namespace: "default"}, h)
	})
}

func TestHealthShowsWorkersOfAllQueues(t *testing.T) {
	inOffice(t, func(w *office) {
		media := kit.Echo
		media.Name, media.Queue, media.Version = "thumb", "media", 2
		held := kit.Script{Hold: make(chan struct{})}
		w.Work(held.Of(kit.Echo), held.Of(media))
		first, second := w.Submit(kit.Echo, "x"), w.Submit(media, "x")
		w.Until(first, refcache.Processing)
		w.Until(second, refcache.Processing)
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
			Alive: true, Running: 2, Oldest: worker.Oldest}, worker)
		require.Len(w, worker.Oldest, 2)
		for _, a := range worker.Oldest {
			require.Contains(w, []refcache.Ref{first, second}, a.Ref)
		}
		require.Equal(w, []monitor.QueueHealth{{Name: "default", Processing: 1, OldestProcessing: h.Queues[0].OldestProcessing},
			{Name: "media", Processing: 1, OldestProcessing: h.Queues[1].OldestProcessing}}, h.Queues)
		for _, f := range h.Findings() {
			require.True(w, f.Level == monitor.LevelOK || f.ID == "persistence", f)
		}
	})
}

func TestCallsThatNoWorkerServesAreFound(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Submit(kit.Echo, "x")
		require.Equal(w, monitor.LevelWrong, w.finding("workers").Level)
		require.Equal(w, "no worker for echo@1 in queue default (calls: 1) of namespace default", w.finding("unserved").Fact)

		time.Sleep(2 * time.Minute)
		require.Equal(w, "pending for 2m0s in queue default; pending there in all namespaces: 1", w.finding("oldest_pending").Fact)

		var s kit.Script
		older := kit.Echo
		older.Version = 2
		w.Work(s.Of(older))
		time.Sleep(time.Second)
		require.Equal(w, monitor.LevelOK, w.finding("workers").Level)
		require.Equal(w, "no worker for echo@1 in queue default (calls: 1) of namespace default", w.finding("unserved").Fact)

		w.Work(s.Of(kit.Echo))
		time.Sleep(time.Minute)
		require.Equal(w, monitor.LevelOK, w.finding("unserved").Level)
		require.Equal(w, monitor.LevelOK, w.finding("oldest_pending").Level)
	})
}

func TestAttemptsAndRetriesThatNobodyTakesOverAreFound(t *testing.T) {
	inOffice(t, func(w *office) {
		s := store.New(w.Redis)
		retried, lost := w.Submit(kit.Echo, "retried"), w.Submit(kit.Echo, "lost")
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
		require.Equal(w, "late retries in all namespaces: 1, by up to 59s in queue default", w.finding("overdue").Fact)

		var runs kit.Script
		w.Work(runs.Of(kit.Echo))
		time.Sleep(time.Minute)
		require.Equal(w, monitor.LevelOK, w.finding("leftovers").Level)
		require.Equal(w, monitor.LevelOK, w.finding("overdue").Level)
		require.False(w, w.health().Wrong())
	})
}

func TestVanishedRecordsAreFound(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "x")
		require.NoError(w, w.Redis.Del(w.Context(), "refq:{default}:t:"+ref.Hash()).Err())
		require.Equal(w, "calls of queue default whose record is gone: 1", w.finding("leftovers").Fact)
	})
}

func TestSlowRedisIsFound(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "TIME" {
				time.Sleep(200 * time.Millisecond)
			}
			return memredis.Pass
		})
		require.Equal(w, "200ms a trip; a call takes about six", w.finding("latency").Fact)
	})
}

func TestRedisThatRefusesIsAFindingAndOneThatIsAwayAnError(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVAL" || cmd[0] == "EVALSHA" || cmd[0] == "SMEMBERS" {
				return memredis.Fault("NOPERM this user has no permissions to run the '" + cmd[0] + "' command")
			}
			return memredis.Pass
		})
		h := w.health()
		require.Equal(w, []monitor.Refusal{{Commands: []string{"EVAL"}}, {Commands: []string{"EVALSHA"}}}, h.Refused)
		require.Contains(w, h.Blind, "NOPERM")

		w.Server.SetFaults(func([]string) memredis.Fault { return memredis.DropRequest })
		_, err := w.A.Health(w.Context())
		require.ErrorContains(w, err, "look at the health of Redis and workers: ")
	})
}

// A client waits for ever for the confirmation of a subscription, whatever ends its context.
func TestRedisThatFallsSilentDoesNotHoldUpTheLookAtItsHealth(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "SUBSCRIBE" {
				time.Sleep(time.Hour)
			}
			return memredis.Pass
		})
		start := time.Now()
		_, err := w.A.Health(w.Context())
		require.ErrorContains(w, err, "try to use channel refq:")
		require.Less(w, time.Since(start), time.Minute)
	})
}
