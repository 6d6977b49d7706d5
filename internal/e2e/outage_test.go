//go:build unix

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/redistest"
)

func TestACallSurvivesARestartOfRedisWithOneOutcome(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, "--appendonly", "yes")
	s := newSiteAt(t, "redis://"+server.Addr, nil, nil)
	w := s.worker()
	caller := s.call("{}")
	command := s.next()
	server.Stop()
	command.succeed("1")
	w.says("Redis cannot be reached") // so the outcome waits in the worker: the client has given up on it
	server.Start()
	made := caller.answer(0)
	require.Equal(t, "1", string(made.Value))
	require.EqualValues(t, 1, s.commands.Load())
	require.Zero(t, s.info(made.RefID).AttemptsTotal)
}

func TestAWorkerWaitsForARedisThatIsDown(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	server.Stop()
	s := newSiteAt(t, "redis://"+server.Addr, nil, nil)
	w := s.start("worker")
	w.says("Redis cannot be reached")
	server.Start()
	w.says("Redis is back")
	ref := s.submit("{}")
	s.next().succeed("1")
	s.wait(ref).answer(0)
}

func TestAWorkerStopsAlthoughRedisIsDown(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	s := newSiteAt(t, "redis://"+server.Addr, nil, keys{"shutdown_timeout": "3s"})
	w := s.worker()
	s.submit("{}")
	command := s.next()
	server.Stop()
	w.signal(syscall.SIGTERM)
	start := time.Now()
	w.says("attempts not handed back within 3s: 1")
	require.Equal(t, 1, w.exitCode())
	t.Logf("stopped after %v", time.Since(start).Round(time.Millisecond))
	require.Less(t, time.Since(start), 8*time.Second)
	command.isGone()
}

func TestAPasswordWorksAndIsNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-Pass"
	server := redistest.New(t, "--requirepass", secret)
	s := newSiteAt(t, "redis://:"+secret+"@"+server.Addr, nil, keys{"log_level": "debug"})
	s.worker()
	ref := s.submit("{}")
	command := s.next()
	command.succeed("1")
	s.wait(ref).answer(0)
	require.NotContains(t, strings.Join(command.Env, "\n"), secret)

	require.Contains(t, s.refq("config").stdout.String(), server.Addr)
	for _, bad := range []string{"redis://:" + secret + "-not@" + server.Addr, "redis://:" + secret + "@" + server.Addr + "/x",
		"redis://:" + secret + "@127.0.0.1:1"} {
		for _, verb := range [][]string{{"get", string(ref)}, {"call", "f"}} {
			require.NotZero(t, s.refq(append(verb, "--redis", bad)...).exitCode(), "%s %v", bad, verb)
		}
	}
	require.Equal(t, 1, s.refq("worker", "--redis", "redis://"+server.Addr).exitCode(), "without the password it is refused")
	for _, p := range s.all {
		require.NotContains(t, p.stdout.String()+p.stderr.String(), secret, p.name)
	}
}
