//go:build unix

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestACallSurvivesARestartOfRedisWithOneOutcome(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server := testkit.New(t, "--appendonly", "yes")
	s := newSiteAt(t, "redis://"+server.Addr, nil, nil)
	w := s.worker()
	caller := s.call("{}")
	command := s.next()
	server.Stop()
	command.succeed("1")
	w.says("Redis does not answer") // so the outcome waits in the worker: the client has given up on it
	server.Start()
	made := caller.answer(0)
	require.Equal(t, "1", string(made.Value))
	require.EqualValues(t, 1, s.commands.Load())
	require.Zero(t, s.info(made.RefID).AttemptsTotal)
}

func TestAWorkerWaitsForARedisThatIsDown(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server := testkit.New(t)
	server.Stop()
	s := newSiteAt(t, "redis://"+server.Addr, nil, nil)
	w := s.start("worker")
	w.says("Redis does not answer")
	server.Start()
	w.says("Redis is back")
	ref := s.submit("{}")
	s.next().succeed("1")
	s.wait(ref).answer(0)
}

func TestAWorkerStopsAlthoughRedisIsDown(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server := testkit.New(t)
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
	require.Less(t, time.Since(start), testkit.Within(5*time.Second))
	command.isGone()
}

// As long as no other worker could sweep, an attempt is its worker's: whatever it came to meanwhile is kept.
func TestAttemptsThatOutliveACutNetworkAreKept(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	way := l.way()
	gates := map[string]chan bool{"ends meanwhile": make(chan bool), "ends later": make(chan bool)}
	held := func(ctx context.Context, in string) (string, error) {
		select {
		case <-gates[in]:
			return fn.run(ctx, in)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	l.worker(way, held)
	l.worker(way, held)
	refs := map[string]refcache.Ref{}
	for in := range gates {
		refs[in] = l.submit(l.p, in)
		l.becomes(refs[in], refcache.Processing)
	}
	way.Cut()
	close(gates["ends meanwhile"])
	<-time.After(8 * time.Second) // longer than workers may be silent
	way.Heal()
	healed := time.Now()
	l.becomes(refs["ends meanwhile"], refcache.Complete)
	l.took("outage to result", healed, testkit.Within(10*time.Second))
	<-time.After(time.Until(healed.Add(7 * time.Second))) // by now somebody may be declared dead
	close(gates["ends later"])
	for in, ref := range refs {
		l.endsOnce(fn, ref, in, 0)
	}
}

func TestAFlushIsToldToWaitersAndEndsNothingElse(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 6)
	server := testkit.New(t)
	s := newSiteAt(t, "redis://"+server.Addr, nil, nil)
	s.worker()
	p, f := s.producer(), declared(s.queue)
	caller := s.call(`{"Words":["to","be"]}`)
	command := s.next()
	rdb, record := connect(t, s.redis), fmt.Sprintf("refq:{%s}:t:%s", s.queue, command.ref().Hash())
	one := waiters(t, rdb, record)
	waited := make(chan error, 1)
	go func() {
		_, err := producer.Wait(context.Background(), p, f, command.ref())
		waited <- err
	}()
	require.Eventually(t, func() bool { return waiters(t, rdb, record) != one }, soon, 5*time.Millisecond)

	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	flushed := time.Now()
	err := await(t, "the waiter is told", waited)
	require.ErrorIs(t, err, refcache.ErrTaskNotFound)
	require.ErrorContains(t, err, "deleted or lost")
	require.Equal(t, 1, caller.exitCode())
	require.Contains(t, caller.stderr.String(), "deleted or lost")
	command.isGone()
	t.Logf("flush to the last who was told: %v", time.Since(flushed).Round(time.Millisecond))

	again := make(chan error, 1)
	go func() {
		_, err := producer.Call(context.Background(), p, f, words{[]string{"to", "be"}})
		again <- err
	}()
	s.next().succeed(`{"Count":2}`)
	require.NoError(t, await(t, "the call is answered", again))
	require.Contains(t, s.refq("ls").stdout.String(), string(command.ref()))
	require.EqualValues(t, 2, s.commands.Load())
}

// The server is killed, not asked to end: what it had not answered may have happened or not.
func TestEverythingFlowsOnAfterRedisIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	server := testkit.New(t, "--appendonly", "yes", "--appendfsync", "always")
	l, fn := newLabAt(t, "redis://"+server.Addr), &counted{}
	l.worker(nil, fn.run)
	l.worker(nil, fn.run)
	p := l.producer(nil)
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	var callers sync.WaitGroup
	var calls atomic.Int64
	for caller := range 8 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				l.callThroughCuts(p, fmt.Sprintf("%d.%d", caller, n))
				calls.Add(1)
			}
		})
	}
	flows := func() {
		already := calls.Load()
		l.until("calls flow", func() bool { return calls.Load() > already+100 })
	}
	flows()
	killServer(t, l.rdb)
	server.Stop()
	<-time.After(3 * time.Second)
	server.Start()
	back := time.Now()
	flows()
	l.took("return to 100 calls", back, testkit.Within(10*time.Second))
	enough()
	callers.Wait()
	l.took("return to the last answer", back, testkit.Within(10*time.Second))
	l.ranOnce(fn, calls.Load())
}

func killServer(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	_, text, found := strings.Cut(rdb.Info(t.Context(), "server").Val(), "process_id:")
	require.True(t, found)
	pid, err := strconv.Atoi(strings.Fields(text)[0])
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestAPasswordWorksAndIsNeverShown(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	const secret = "s3cr3t-Pass"
	server := testkit.New(t, "--requirepass", secret)
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
