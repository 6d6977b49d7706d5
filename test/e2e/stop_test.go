//go:build unix

package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func TestAStoppingWorkerHandsBackWhatItCannotFinish(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSiteAt(t, sharedRedis(t), nil, keys{"shutdown_timeout": "4s"})
	leaving := s.worker()
	call := s.call("{}")
	first := s.next()
	heir := s.worker()

	leaving.signal(syscall.SIGTERM)
	first.isGone()
	stopped := time.Now()
	second := s.next()
	took := time.Since(stopped)
	t.Logf("hand-back to second start: %v", took.Round(time.Millisecond))
	require.NotContains(t, heir.stderr.String(), "had no doorbell", "a sweep would have found it, too")
	require.Less(t, took, testkit.Within(4*time.Second))
	require.Contains(t, second.Env, "REFQ_ATTEMPT=1")
	require.Zero(t, leaving.exitCode())
	second.succeed("1")

	made := call.answer(0)
	require.Zero(t, made.RetryCount)
	info := s.info(made.RefID)
	require.Equal(t, 1, info.Attempt)
	require.Zero(t, info.AttemptsTotal)
	require.Zero(t, info.LostCount)
	require.Len(t, info.Events, 1)
	require.Equal(t, refcache.EventHandedBack, info.Events[0].Kind)
	require.Contains(t, info.Events[0].By, fmt.Sprintf("-%d-", leaving.cmd.Process.Pid))
}

func TestAStoppingWorkerLetsAttemptsFinish(t *testing.T) { letsAttemptsFinish(t, syscall.SIGTERM) }

// A terminal that is closed tells its programs so by SIGHUP.
func TestAClosedTerminalStopsAWorkerInGoodOrder(t *testing.T) { letsAttemptsFinish(t, syscall.SIGHUP) }

func letsAttemptsFinish(t *testing.T, stop syscall.Signal) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSiteAt(t, sharedRedis(t), nil, keys{"shutdown_timeout": "60s"})
	w := s.worker()
	ref := s.submit("{}")
	command := s.next()
	w.signal(stop)
	w.says("worker stopping")
	command.succeed("1")
	require.Zero(t, w.exitCode())
	s.wait(ref).answer(0)
	require.Empty(t, s.info(ref).Events)
	require.Zero(t, s.info(ref).LostCount)
}

func TestAWorkerUnderNohupOutlivesItsTerminal(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSite(t, nil)
	w := start(t, s.dir, []string{"REFQ_REDIS=" + s.redis, testkit.NoSleep}, "sh", "-c", `trap "" HUP; exec "$0" worker`, s.program)
	w.says("worker started")
	w.signal(syscall.SIGHUP)
	call := s.call("{}")
	s.next().succeed("1")
	call.answer(0)
	require.NotContains(t, w.stderr.String(), "worker stopping")
	w.signal(syscall.SIGTERM)
	require.Zero(t, w.exitCode())
}

func TestASecondSignalEndsTheWorkerAtOnce(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSiteAt(t, sharedRedis(t), nil, keys{"shutdown_timeout": "60s"})
	w := s.worker()
	s.submit("{}")
	command := s.next()
	w.signal(syscall.SIGINT)
	w.says("worker stopping")
	w.signal(syscall.SIGINT)
	start := time.Now()
	require.Equal(t, 1, w.exitCode())
	require.Less(t, time.Since(start), testkit.Within(5*time.Second))
	command.isGone()
}

func TestCtrlCEndsTheWaitingAndNotTheCall(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSite(t, nil)
	s.worker()
	caller := s.call("{}")
	command := s.next()
	caller.signal(syscall.SIGINT)
	require.Equal(t, command.ref(), caller.answer(3).RefID)
	require.Contains(t, caller.stderr.String(), "refq wait "+string(command.ref()))
	command.succeed("1")
	s.wait(command.ref()).answer(0)
}
