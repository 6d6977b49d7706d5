package netproxy_test

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// road is a proxy, a client that goes through it and one that does not.
type road struct {
	*testing.T
	proxy       *netproxy.Proxy
	rdb, direct *redis.Client
	key         string // of this test alone
}

// onRoads runs a test with a real Redis and with one in memory, with either version of the protocol.
func onRoads(t *testing.T, test func(r road)) {
	t.Helper()
	servers := map[string]func(t *testing.T) string{
		"redis": func(t *testing.T) string { return testkit.Start(t) },
		"memory": func(t *testing.T) string {
			server, err := memredis.Listen("127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(server.Close)
			return server.Addr()
		},
	}
	for name, start := range servers {
		for protocol := 2; protocol <= 3; protocol++ {
			t.Run(fmt.Sprintf("%s/RESP%d", name, protocol), func(t *testing.T) {
				t.Parallel()
				target := start(t)
				proxy, err := netproxy.Listen(target)
				require.NoError(t, err)
				t.Cleanup(proxy.Close)
				// On a busy machine a large reply may take its time.
				suffix := fmt.Sprintf("%s&max_retries=-1&protocol=%d", testkit.Patience, protocol)
				test(road{t, proxy, connect(t, proxy.Addr()+suffix), connect(t, target+testkit.Patience), rand.Text()})
			})
		}
	}
}

func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	rdb, err := refq.Connect("redis://" + addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb.(*redis.Client)
}

// fault makes a fault of the next command of that name.
func (r road) fault(name string, fault netproxy.Fault) {
	var met atomic.Bool
	r.proxy.SetFaults(func(cmd []string) netproxy.Fault {
		if cmd[0] == name && met.CompareAndSwap(false, true) {
			return fault
		}
		return netproxy.Pass
	})
}

func (r road) runs() string { return r.direct.Get(r.Context(), r.key).Val() }

func TestWithoutFaultsEverythingPasses(t *testing.T) {
	onRoads(t, func(r road) {
		ctx, long := r.Context(), strings.Repeat("x\r\n", 200_000)
		require.NoError(r, r.rdb.Set(ctx, r.key, long, 0).Err())
		require.Equal(r, long, r.rdb.Get(ctx, r.key).Val())
		require.NoError(r, r.rdb.Del(ctx, r.key).Err())
		require.ErrorIs(r, r.rdb.Get(ctx, r.key).Err(), redis.Nil)
		require.NoError(r, r.rdb.HSet(ctx, r.key, "a", "", "b", "2").Err())
		require.Equal(r, map[string]string{"a": "", "b": "2"}, r.rdb.HGetAll(ctx, r.key).Val())
		require.Error(r, r.rdb.Incr(ctx, r.key).Err(), "WRONGTYPE")
		cmds, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for n := range 5000 {
				p.Echo(ctx, n)
			}
			return nil
		})
		require.NoError(r, err)
		require.Equal(r, "4999", cmds[4999].(*redis.StringCmd).Val())
		nested := redis.NewScript(`return {1, {"two", {}}, false}`).Run(ctx, r.rdb, nil).Val()
		require.Equal(r, []any{int64(1), []any{"two", []any{}}, nil}, nested)
	})
}

func TestFaultsAreAskedAboutEveryCommandOfAPipeline(t *testing.T) {
	onRoads(t, func(r road) {
		var mu sync.Mutex
		var seen [][]string
		r.proxy.SetFaults(func(cmd []string) netproxy.Fault {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, cmd)
			return netproxy.Pass
		})
		_, err := r.rdb.TxPipelined(r.Context(), func(p redis.Pipeliner) error {
			p.Set(r.Context(), r.key, "a\r\n$1", 0)
			p.Del(r.Context(), r.key, "")
			return nil
		})
		require.NoError(r, err)
		require.Equal(r, "HELLO", seen[0][0])
		require.Equal(r, [][]string{{"MULTI"}, {"SET", r.key, "a\r\n$1"}, {"DEL", r.key, ""}, {"EXEC"}}, seen[len(seen)-4:])
	})
}

func TestCommandOfADroppedRequestDoesNotRun(t *testing.T) {
	onRoads(t, func(r road) {
		r.fault("INCR", netproxy.DropRequest)
		require.ErrorIs(r, r.rdb.Incr(r.Context(), r.key).Err(), io.EOF)
		require.Equal(r, "", r.runs())
		require.EqualValues(r, 1, r.rdb.Incr(r.Context(), r.key).Val(), "the next one does")
	})
}

func TestCommandOfADroppedReplyRuns(t *testing.T) {
	onRoads(t, func(r road) {
		r.fault("INCR", netproxy.DropReply)
		require.ErrorIs(r, r.rdb.Incr(r.Context(), r.key).Err(), io.EOF)
		require.Equal(r, "1", r.runs())
		r.proxy.SetFaults(nil)
		require.EqualValues(r, 2, r.rdb.Incr(r.Context(), r.key).Val())
	})
}

func TestHalfAReplyArrives(t *testing.T) {
	onRoads(t, func(r road) {
		require.NoError(r, r.direct.Set(r.Context(), r.key, "0123456789", 0).Err())
		r.fault("GET", netproxy.HalfReply)
		require.ErrorIs(r, r.rdb.Get(r.Context(), r.key).Err(), io.ErrUnexpectedEOF)

		r.fault("GET", netproxy.HalfReply)
		conn := dial(r.T, r.proxy.Addr())
		_, err := fmt.Fprintf(conn, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(r.key), r.key)
		require.NoError(r, err)
		got, err := io.ReadAll(conn)
		require.NoError(r, err)
		require.Equal(r, "$10\r\n012", string(got))
	})
}

func TestStalledConnectionIsSilentForGoodButOpen(t *testing.T) {
	onRoads(t, func(r road) {
		r.fault("INCR", netproxy.Stall)
		conn := dial(r.T, r.proxy.Addr())
		in := bufio.NewReader(conn)
		_, err := io.WriteString(conn, "*1\r\n$4\r\nPING\r\n"+fmt.Sprintf("*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(r.key), r.key))
		require.NoError(r, err)
		pong, err := in.ReadString('\n')
		require.NoError(r, err)
		require.Equal(r, "+PONG\r\n", pong, "what was sent before is answered")
		r.proxy.SetFaults(nil)
		_, err = io.WriteString(conn, "*1\r\n$4\r\nPING\r\n")
		require.NoError(r, err)
		require.NoError(r, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		_, err = in.ReadByte()
		require.ErrorIs(r, err, os.ErrDeadlineExceeded)
		require.Equal(r, "", r.runs())
		require.NoError(r, r.rdb.Ping(r.Context()).Err(), "other connections pass")
	})
}

func TestConnectionIsCutAtTheByteThatItsLifetimeEndsAt(t *testing.T) {
	onRoads(t, func(r road) {
		incr := fmt.Sprintf("*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(r.key), r.key)
		for _, life := range []struct {
			bytes   int
			arrives string
			runs    string
		}{{len(incr) - 1, "", ""}, {len(incr) + 1, ":", "1"}, {len(incr) + len(":2\r\n"), ":2\r\n", "2"}} {
			r.proxy.SetLifetime(func() int64 { return int64(life.bytes) })
			conn := dial(r.T, r.proxy.Addr())
			_, err := io.WriteString(conn, incr)
			require.NoError(r, err)
			got := make([]byte, len(life.arrives))
			_, err = io.ReadFull(conn, got)
			require.NoError(r, err)
			require.Equal(r, life.arrives, string(got))
			_, err = io.WriteString(conn, "*")
			require.NoError(r, err)
			_, err = conn.Read(make([]byte, 1))
			require.Error(r, err, "it is cut")
			require.Equal(r, life.runs, r.runs())
		}
		r.proxy.SetLifetime(nil)
		require.NoError(r, r.rdb.Ping(r.Context()).Err(), "the next connection lives")
	})
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestFaultTakesTheRestOfThePipelineWithItAndLeavesWhatWasBefore(t *testing.T) {
	for fault, ran := range map[netproxy.Fault]any{netproxy.DropRequest: nil, netproxy.DropReply: "1", netproxy.HalfReply: "1"} {
		t.Run(string(fault), func(t *testing.T) {
			onRoads(t, func(r road) {
				r.fault("INCR", fault)
				ctx := r.Context()
				cmds, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
					p.Set(ctx, r.key+"before", 1, 0)
					p.Incr(ctx, r.key)
					p.Set(ctx, r.key+"after", 1, 0)
					return nil
				})
				require.Error(r, err)
				require.Equal(r, "OK", cmds[0].(*redis.StatusCmd).Val(), "although the client calls all of them failed")
				require.Equal(r, []any{"1", ran, nil}, r.direct.MGet(ctx, r.key+"before", r.key, r.key+"after").Val())
			})
		})
	}
}

func TestMessagesAreNobodysReply(t *testing.T) {
	onRoads(t, func(r road) {
		ctx := r.Context()
		sub := r.rdb.Subscribe(ctx, r.key, r.key+"2")
		defer sub.Close()
		for range 2 {
			_, err := sub.Receive(ctx)
			require.NoError(r, err)
		}
		r.fault("PING", netproxy.DropReply)
		require.EqualValues(r, 1, r.direct.Publish(ctx, r.key, "one").Val())
		require.EqualValues(r, 1, r.direct.Publish(ctx, r.key+"2", "two").Val())
		for _, want := range []string{"one", "two"} {
			msg, err := sub.ReceiveMessage(ctx)
			require.NoError(r, err)
			require.Equal(r, want, msg.Payload)
		}
		require.NoError(r, sub.Ping(ctx, "cut"))
		_, err := sub.ReceiveTimeout(ctx, time.Second)
		require.ErrorIs(r, err, io.EOF)
	})
}

// A subscription to two channels is confirmed twice; PING behind it is answered by what comes after that.
func TestConfirmationsAreNoReplyToWhatComesNext(t *testing.T) {
	for _, hello := range []string{"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", ""} {
		onRoads(t, func(r road) {
			r.fault("PING", netproxy.DropReply)
			conn := dial(r.T, r.proxy.Addr())
			_, err := io.WriteString(conn, hello+"*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n"+"*1\r\n$4\r\nPING\r\n")
			require.NoError(r, err)
			got, err := io.ReadAll(conn)
			require.NoError(r, err)
			require.Equal(r, 2, strings.Count(string(got), "$9\r\nsubscribe\r\n"))
			require.NotContains(r, strings.ToLower(string(got)), "pong")
		})
	}
}

func TestLostSubscriptionIsMadeAgain(t *testing.T) {
	for _, fault := range []netproxy.Fault{netproxy.DropRequest, netproxy.DropReply, netproxy.HalfReply} {
		t.Run(string(fault), func(t *testing.T) {
			onRoads(t, func(r road) {
				r.fault("SUBSCRIBE", fault)
				sub := r.rdb.Subscribe(r.Context(), r.key)
				defer sub.Close()
				_, err := sub.Receive(r.Context())
				require.Error(r, err)
				_, err = sub.Receive(r.Context())
				require.NoError(r, err)
				require.Eventually(r, func() bool { // the server may notice later that the first one is gone
					return r.direct.PubSubNumSub(r.Context(), r.key).Val()[r.key] == 1
				}, time.Minute, time.Millisecond)
				require.EqualValues(r, 1, r.direct.Publish(r.Context(), r.key, "hello").Val())
				msg, err := sub.ReceiveMessage(r.Context())
				require.NoError(r, err)
				require.Equal(r, "hello", msg.Payload)
			})
		})
	}
}

func TestPipelinesShareTheDelay(t *testing.T) {
	onRoads(t, func(r road) {
		ctx := r.Context()
		require.NoError(r, r.rdb.Ping(ctx).Err())
		const delay = 200 * time.Millisecond
		r.proxy.SetDelay(delay)
		start := time.Now()
		_, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range 1000 {
				p.Incr(ctx, r.key)
			}
			return nil
		})
		require.NoError(r, err)
		require.GreaterOrEqual(r, time.Since(start), delay)
		require.Less(r, time.Since(start), testkit.Within(5*delay), "not one after the other, which would take 200 s")
		r.proxy.SetDelay(time.Hour) // longer than the client waits
		r.proxy.SetDelay(0)
		require.NoError(r, r.rdb.Ping(ctx).Err())
	})
}

func TestAnOutageCutsAndRefusesUntilItIsHealed(t *testing.T) {
	onRoads(t, func(r road) {
		ctx := r.Context()
		conn := dial(r.T, r.proxy.Addr())
		_, err := io.WriteString(conn, "*1\r\n$4\r\nPING\r\n")
		require.NoError(r, err)
		_, err = conn.Read(make([]byte, 99))
		require.NoError(r, err)

		r.proxy.Cut()
		_, err = conn.Read(make([]byte, 1))
		require.Error(r, err)
		require.Error(r, r.rdb.Ping(ctx).Err())
		r.proxy.Heal()
		require.NoError(r, r.rdb.Ping(ctx).Err())
	})
}

func TestConnectionsAreCutWhileTheServerIsDown(t *testing.T) {
	t.Parallel()
	server := testkit.New(t)
	proxy, err := netproxy.Listen(server.Addr)
	require.NoError(t, err)
	defer proxy.Close()
	rdb := connect(t, proxy.Addr()+"?max_retries=-1")
	require.NoError(t, rdb.Ping(t.Context()).Err())
	server.Stop()
	require.Error(t, rdb.Ping(t.Context()).Err())
	require.Error(t, rdb.Ping(t.Context()).Err())
	server.Start()
	require.NoError(t, rdb.Ping(t.Context()).Err())
}

func TestCloseEndsStalledAndDelayedConnections(t *testing.T) {
	onRoads(t, func(r road) {
		r.fault("ECHO", netproxy.Stall)
		r.proxy.SetDelay(time.Hour)
		var ends sync.WaitGroup
		for _, text := range []string{"*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n", "*1\r\n$4\r\nPING\r\n", "not RESP\r\n"} {
			conn := dial(r.T, r.proxy.Addr())
			_, err := io.WriteString(conn, text)
			require.NoError(r, err)
			ends.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		}
		r.proxy.Close()
		r.proxy.Close()
		ends.Wait()
		require.Error(r, r.rdb.Ping(r.Context()).Err())
	})
}

func TestManyClientsAtOnce(t *testing.T) {
	onRoads(t, func(r road) {
		var cut atomic.Int64
		r.proxy.SetFaults(func(cmd []string) netproxy.Fault {
			if cmd[0] != "INCR" {
				return netproxy.Pass
			}
			faults := []netproxy.Fault{netproxy.DropReply, netproxy.HalfReply}
			if n := cut.Add(1); n%10 == 0 {
				return faults[n/10%2]
			}
			return netproxy.Pass
		})
		var seen, lost atomic.Int64
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range 100 {
					if r.rdb.Incr(r.Context(), r.key).Err() == nil {
						seen.Add(1)
					} else {
						lost.Add(1)
					}
				}
			})
		}
		clients.Wait()
		require.Equal(r, "800", r.runs(), "each ran once")
		require.EqualValues(r, 80, lost.Load())
		require.EqualValues(r, 720, seen.Load())
	})
}
