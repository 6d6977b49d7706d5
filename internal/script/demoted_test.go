package script_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/testkit"
)

// Wrong is a key by whose value a script answers that it has come to the wrong place.
const (
	wrong        = "wrong"
	incrIfRight  = "local why = redis.call('GET', 'wrong') if why then return redis.error_reply(why) end " + incr
	readsOnly    = "return redis.call('GET', 'who')"
	firstOfQueue = "refq:{q}:n"
)

// failover is an address that leads to one server, and then to another.
type failover struct {
	*testing.T
	proxy    *netproxy.Proxy
	piped    redis.UniversalClient // through the address
	old, new *redis.Client         // straight
	newAddr  string
}

func newFailover(t *testing.T) failover {
	testkit.Reserve(t, 2)
	from, to := testkit.New(t), testkit.New(t)
	proxy, err := netproxy.Listen(from.Addr)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	f := failover{T: t, proxy: proxy, piped: script.New(connect(t, proxy.Addr()+testkit.Patience)), newAddr: to.Addr,
		old: redis.NewClient(testkit.Options(from.Addr)), new: redis.NewClient(testkit.Options(to.Addr))}
	t.Cleanup(proxy.Cut)
	t.Cleanup(func() { _, _ = f.old.Close(), f.new.Close() })
	return f
}

// demote has the old server follow the new one, as those who manage a failover do.
func (f failover) demote() {
	host, port, _ := strings.Cut(f.newAddr, ":")
	require.NoError(f, f.old.ReplicaOf(f.Context(), host, port).Err())
	require.Eventually(f, func() bool {
		info := f.old.Info(f.Context(), "replication").Val()
		return strings.Contains(info, "master_link_status:up")
	}, testkit.Within(10*time.Second), 10*time.Millisecond)
}

// once sends a script that must not be sent twice, if it may have run.
func (f failover) once(text, key string) error {
	return f.piped.Process(f.Context(), once{redis.NewCmd(f.Context(), "EVAL", text, 1, key)})
}

func (f failover) crowd(n int, text, key string) {
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() { require.NoError(f, f.once(text, key)) })
	}
	callers.Wait()
}

func TestScriptsLeaveAServerThatIsTheWrongOne(t *testing.T) {
	for why, strike := range map[string]func(f failover){
		"READONLY": failover.demote,
		"MASTERDOWN": func(f failover) {
			require.NoError(f, f.old.ConfigSet(f.Context(), "replica-serve-stale-data", "no").Err())
			require.NoError(f, f.old.ReplicaOf(f.Context(), "127.0.0.1", "1").Err())
		},
		"LOADING":   answers("LOADING Redis is loading the dataset in memory"),
		"NOAUTH":    answers("NOAUTH Authentication required."),
		"WRONGPASS": answers("WRONGPASS invalid username-password pair or user is disabled."),
		"READONLY of Redis 6": answers("ERR Error running script (call to f_0): @user_script:1: -READONLY You can't write " +
			"against a read only replica."),
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			f := newFailover(t)
			f.crowd(20, incrIfRight, firstOfQueue)
			require.Equal(t, "20", f.old.Get(t.Context(), firstOfQueue).Val())
			strike(f)
			f.proxy.Repoint(f.newAddr)
			f.crowd(100, incrIfRight, "k")
			require.Equal(t, "100", f.new.Get(t.Context(), "k").Val(), "each has run once")
			require.Eventually(t, func() bool {
				clients := f.old.ClientList(t.Context()).Val() // those who ask are among them, and its master
				return strings.Count(clients, "\n") == strings.Count(clients, "cmd=client")+strings.Count(clients, "flags=M")
			}, testkit.Within(10*time.Second), 10*time.Millisecond, "its connections are closed")
			f.crowd(20, incrIfRight, "k")
			require.Equal(t, "120", f.new.Get(t.Context(), "k").Val())
		})
	}
}

// answers has the old server answer an error where it would run a script.
func answers(why string) func(f failover) {
	return func(f failover) { require.NoError(f, f.old.Set(f.Context(), wrong, why, 0).Err()) }
}

// What is under way when others are turned away still gets its answer.
func TestWhatIsUnderWayAtTheWrongServerIsAnswered(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	require.NoError(t, f.old.Set(t.Context(), wrong, "LOADING", 0).Err())
	sent, goOn := make(chan struct{}), make(chan struct{})
	f.proxy.SetFaults(func(cmd []string) netproxy.Fault {
		if strings.HasSuffix(strings.Join(cmd, " "), "slow") {
			close(sent)
			<-goOn
		}
		return netproxy.Pass
	})
	var slow error
	var all sync.WaitGroup
	all.Go(func() { slow = f.once(incr, "slow") })
	<-sent
	f.proxy.Repoint(f.newAddr)
	all.Go(func() { require.NoError(t, f.once(incrIfRight, "k")) }) // it is behind the slow one, or goes around it
	close(goOn)
	all.Wait()
	require.NoError(t, slow)
	require.Equal(t, "1", f.old.Get(t.Context(), "slow").Val())
	require.Equal(t, "1", f.new.Get(t.Context(), "k").Val())
}

// A demoted master answers whoever only reads.
func TestWhoOnlyReadsLeavesADemotedMaster(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	f.demote()
	require.NoError(t, f.old.ConfigSet(t.Context(), "replica-read-only", "no").Err())
	require.NoError(t, f.old.Set(t.Context(), "who", "old", 0).Err())
	require.NoError(t, f.old.ConfigSet(t.Context(), "replica-read-only", "yes").Err())
	require.NoError(t, f.new.Set(t.Context(), "other", "1", 0).Err())
	f.proxy.Repoint(f.newAddr)
	require.Eventually(t, func() bool {
		_, err := f.piped.Eval(t.Context(), readsOnly, []string{"refq:{q}:who"}).Result()
		return err == redis.Nil
	}, testkit.Within(15*time.Second), 50*time.Millisecond)
}

// A server that is the wrong one for good is tried seldom.
func TestTheSharedConnectionToTheWrongServerIsTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, plain := testkit.Memory(t)
		rdb := script.New(plain)
		require.NoError(t, plain.Set(t.Context(), wrong, "READONLY", 0).Err())
		const calls = 300
		for range calls {
			cmd := redis.NewCmd(t.Context(), "EVAL", "redis.call('INCR', 'tries') "+incrIfRight, 1, "k")
			require.ErrorContains(t, rdb.Process(t.Context(), once{cmd}), "READONLY")
			time.Sleep(100 * time.Millisecond)
		}
		tries, err := strconv.Atoi(plain.Get(t.Context(), "tries").Val())
		require.NoError(t, err)
		require.Greater(t, tries, calls)
		require.LessOrEqual(t, tries, calls+8)
	})
}
