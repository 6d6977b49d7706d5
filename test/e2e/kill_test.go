//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func TestTheCallOfAKilledWorkerRunsElsewhereAndCostsNoRetry(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSite(t, keys{"max_retries": 1})
	victim := s.worker()
	call := s.call("{}")
	first := s.next()
	s.worker()

	victim.kill()
	killed := time.Now()
	second := s.next()
	took := time.Since(killed)
	t.Logf("kill to second start: %v", took.Round(time.Millisecond))
	require.LessOrEqual(t, took, testkit.Within(10*time.Second))
	first.isGone()
	second.succeed("1")

	made := call.answer(0)
	require.Zero(t, made.RetryCount)
	info := s.info(made.RefID)
	require.Equal(t, 1, info.LostCount)
	require.Len(t, info.RetryHistory, 1)
	require.Equal(t, refcache.CauseLost, info.RetryHistory[0].Cause)
	require.Len(t, info.Events, 1)
	require.Equal(t, refcache.EventRedelivered, info.Events[0].Kind)
}

// silentOn has every connection over which a command of that kind is sent go silent before it arrives. It tells when
// that has first happened.
func silentOn(way *netproxy.Proxy, kind func(cmd []string) bool) <-chan bool {
	silent := make(chan bool, 1)
	way.SetFaults(func(cmd []string) netproxy.Fault {
		if !kind(cmd) {
			return netproxy.Pass
		}
		select {
		case silent <- true:
		default: // it tries again
		}
		return netproxy.Stall
	})
	return silent
}

// The producer dies when its call is on record and asynq does not yet know of it.
func TestTheCallOfAKilledProducerRuns(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSite(t, nil)
	p := s.producer()
	// A task that is given a new life is rung for in a step of its own.
	require.NoError(t, p.Cancel(t.Context(), s.submit("{}")))
	s.worker()
	way := newProxy(t, s.redis)
	silent := silentOn(way, func(cmd []string) bool { return len(cmd) > 3 && strings.HasPrefix(cmd[3], "asynq:") })
	caller := s.start("call", "f", "{}", "--redis", "redis://"+way.Addr())
	await(t, "the producer turns to asynq", silent)
	caller.kill()
	start := time.Now()

	ref := only(t, s.admin(), s.queue)
	require.False(t, s.info(ref).Status.IsFinal())
	command := s.next()
	took := time.Since(start)
	t.Logf("kill to start: %v", took.Round(time.Millisecond))
	require.LessOrEqual(t, took, testkit.Within(10*time.Second))
	command.succeed("1")
	require.Equal(t, "1", string(s.wait(ref).answer(0).Value))
	s.untouched(ref, 1)
}

// untouched checks that a call ended after so many executions, none of which was lost, and without a retry.
func (s *site) untouched(ref refcache.Ref, executions int) {
	s.t.Helper()
	info := s.info(ref)
	require.Equal(s.t, refcache.Complete, info.Status)
	require.Zero(s.t, info.RetryCount)
	require.Zero(s.t, info.AttemptsTotal)
	require.EqualValues(s.t, executions, s.commands.Load())
}

// The worker dies when the result is on record and asynq does not yet know of it: asynq rings again, for nothing.
func TestAFinishedCallOfAKilledWorkerDoesNotRunAgain(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSite(t, nil)
	rdb, way := connect(t, s.redis), newProxy(t, s.redis)
	silent := silentOn(way, func(cmd []string) bool { return scriptOf(rdb, cmd) == "ack" })
	victim := s.start("worker", "--redis", "redis://"+way.Addr())
	ref := s.submit("{}")
	s.next().succeed("1")
	await(t, "the worker answers asynq", silent)
	done := s.info(ref)
	victim.kill()
	require.Equal(t, []string{string(ref)}, rdb.LRange(t.Context(), "asynq:{"+s.queue+"}:active", 0, -1).Val())

	age(t, rdb, ref)
	s.worker()
	start := time.Now()
	require.Eventually(t, func() bool { return rdb.Exists(t.Context(), "asynq:{"+s.queue+"}:t:"+string(ref)).Val() == 0 },
		soon, 10*time.Millisecond)
	t.Logf("asynq's look to the answer: %v", time.Since(start).Round(time.Millisecond))
	require.Equal(t, done, s.info(ref))
	s.untouched(ref, 1)
}

// The worker dies while a retry waits for its time, in asynq or, when the worker could not tell asynq, on record only.
func TestTheRetryOfAKilledWorkerRunsElsewhere(t *testing.T) {
	for name, told := range map[string]bool{"asynq knows": true, "asynq does not know": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Reserve(t, 4)
			s := newSite(t, keys{"retry_delay": "2s", "retry_jitter": 0})
			rdb, way := connect(t, s.redis), newProxy(t, s.redis)
			silent := silentOn(way, func(cmd []string) bool { return !told && scriptOf(rdb, cmd) == "ack" })
			victim := s.start("worker", "--redis", "redis://"+way.Addr())
			call := s.call("{}")
			first := s.next()
			first.fail(1, "")
			ref := first.ref()
			if told {
				require.Eventually(t, func() bool { return rdb.ZCard(t.Context(), "asynq:{"+s.queue+"}:retry").Val() == 1 },
					soon, 5*time.Millisecond)
			} else {
				await(t, "the worker answers asynq", silent)
			}
			victim.kill()
			waits := s.info(ref)
			require.Equal(t, refcache.Retrying, waits.Status)

			if !told {
				age(t, rdb, ref)
			}
			s.worker()
			s.next().succeed("1")
			require.Equal(t, 1, call.answer(0).RetryCount)
			info := s.info(ref)
			late := info.StartedAt.Sub(*waits.NextRetryAt)
			t.Logf("due to start: %v", late.Round(time.Millisecond))
			require.GreaterOrEqual(t, late, time.Duration(0))
			require.LessOrEqual(t, late, testkit.Within(6*time.Second))
			require.Zero(t, info.LostCount)
			require.Equal(t, 1, info.AttemptsTotal)
			require.EqualValues(t, 2, s.commands.Load())
		})
	}
}

// only is the ref_id of the only call in a queue.
func only(t *testing.T, a *admin.Admin, queue string) refcache.Ref {
	t.Helper()
	var refs []refcache.Ref
	for info, err := range a.List(t.Context(), admin.Filter{Queue: queue}) {
		require.NoError(t, err)
		refs = append(refs, info.RefID)
	}
	require.Len(t, refs, 1)
	return refs[0]
}
