package script_test

import (
	"context"
	"crypto/rand"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// road is a client that pipes, through a proxy, and one that goes straight.
type road struct {
	*testing.T
	proxy         *netproxy.Proxy
	piped, direct redis.UniversalClient
	key           string // of this test alone
}

func newRoad(t *testing.T) road {
	addr := testkit.Start(t)
	proxy, err := netproxy.Listen(addr)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	r := road{t, proxy, script.New(connect(t, proxy.Addr())), connect(t, addr+testkit.Patience), rand.Text()}
	t.Cleanup(proxy.Cut) // before a client is closed: it would wait for answers
	return r
}

func connect(t *testing.T, addr string) redis.UniversalClient {
	rdb, err := refq.Connect("redis://" + addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

const incr = "return redis.call('INCR', KEYS[1])"

func (r road) incr(ctx context.Context, name string) (int64, error) {
	return r.piped.Eval(ctx, incr, []string{r.key + name}).Int64()
}

func (r road) runs(name string) string { return r.direct.Get(r.Context(), r.key+name).Val() }

// once is a script that must not be repeated.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

func (r road) once(name string) error {
	return r.piped.Process(r.Context(), once{redis.NewCmd(r.Context(), "EVAL", incr, 1, r.key+name)})
}

func TestManyScriptsShareOneConnection(t *testing.T) {
	r := newRoad(t)
	var callers sync.WaitGroup
	var sum atomic.Int64
	for range 200 {
		callers.Go(func() {
			n, err := r.incr(r.Context(), "n")
			require.NoError(r, err)
			sum.Add(n)
		})
	}
	callers.Wait()
	require.EqualValues(r, 200*201/2, sum.Load(), "each has its own answer")
	clients, err := r.direct.ClientList(r.Context()).Result()
	require.NoError(r, err)
	require.LessOrEqual(r, strings.Count(clients, "\n"), 2, "the pipe's connection and that of the one who asks")
}

func TestAnswersOfEachKindArrive(t *testing.T) {
	r := newRoad(t)
	values, err := r.piped.Eval(r.Context(), "return {1, 'two', {ARGV[1]}, false}", nil, "three").Slice()
	require.NoError(r, err)
	require.Equal(r, []any{int64(1), "two", []any{"three"}, nil}, values)
	require.ErrorIs(r, r.piped.Eval(r.Context(), "return false", nil).Err(), redis.Nil)
	require.ErrorContains(r, r.piped.Eval(r.Context(), "return redis.error_reply('DAMAGED x')", nil).Err(), "DAMAGED x")
	require.True(r, redis.HasErrorPrefix(r.piped.EvalSha(r.Context(), strings.Repeat("0", 40), nil).Err(), "NOSCRIPT"))
	long := strings.Repeat("x", 200_000)
	require.Equal(r, long, r.piped.Eval(r.Context(), "return ARGV[1]", nil, long).Val(), "a large one, too")
}

func TestScriptWhoseReplyIsLostIsRepeatedUnlessItMustNotBe(t *testing.T) {
	r := newRoad(t)
	var lost atomic.Int64
	r.proxy.SetFaults(func(cmd []string) netproxy.Fault {
		if strings.HasPrefix(cmd[0], "EVAL") && lost.Add(1) == 1 {
			return netproxy.DropReply
		}
		return netproxy.Pass
	})
	n, err := r.incr(r.Context(), "repeated")
	require.NoError(r, err)
	require.EqualValues(r, 2, n)

	lost.Store(0)
	require.ErrorIs(r, r.once("once"), io.EOF)
	require.Equal(r, "1", r.runs("once"))
}

// What is behind it in the pipe fails with it there, and is sent again outside.
func TestScriptBehindOneThatMustNotBeRepeatedIsRepeated(t *testing.T) {
	r := newRoad(t)
	_, err := r.incr(r.Context(), "warm")
	require.NoError(r, err)
	arrived, sent := make(chan bool), make(chan bool)
	var first atomic.Bool
	r.proxy.SetFaults(func(cmd []string) netproxy.Fault {
		if cmd[0] == "EVAL" && first.CompareAndSwap(false, true) {
			close(arrived)
			<-sent
			return netproxy.DropReply
		}
		return netproxy.Pass
	})
	var all sync.WaitGroup
	all.Go(func() { require.Error(r, r.once("once")) })
	<-arrived
	for range 20 {
		all.Go(func() {
			_, err := r.incr(r.Context(), "behind")
			require.NoError(r, err)
		})
	}
	close(sent)
	all.Wait()
	require.Equal(r, "1", r.runs("once"))
	require.Equal(r, "20", r.runs("behind"))
}

func TestScriptEndsWithItsContext(t *testing.T) {
	r := newRoad(t)
	r.proxy.SetFaults(func(cmd []string) netproxy.Fault {
		if cmd[0] == "EVAL" {
			return netproxy.Stall
		}
		return netproxy.Pass
	})
	ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := r.incr(ctx, "n")
	require.ErrorIs(r, err, context.DeadlineExceeded)
	require.Less(r, time.Since(began), testkit.Within(500*time.Millisecond), "not when the client gives up, after 2 s")
	_, err = r.incr(ctx, "n")
	require.ErrorIs(r, err, context.DeadlineExceeded, "nothing is sent for one that has ended")
}

func TestClientThatWasNotMadeForPipingIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	plain := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"})
	defer plain.Close()
	require.Same(t, plain, script.New(plain))
	off, err := refq.Connect("redis://127.0.0.1:0/0?pipeline=off")
	require.NoError(t, err)
	defer off.Close()
	require.Same(t, off, script.New(off))
}
