package memredis_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refq/refq"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// inBubble runs a test on the bubble's clock with a server and a client of its own.
func inBubble(t *testing.T, test func(t *testing.T, server *memredis.Server, client redis.UniversalClient)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, err := memredis.New()
		require.NoError(t, err)
		defer server.Close()
		client := server.Client()
		defer client.Close()
		test(t, server, client)
	})
}

func TestKeysExpireByTheBubblesClock(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		ctx := t.Context()
		require.NoError(t, client.Set(ctx, "key", "value", 1500*time.Millisecond).Err())
		time.Sleep(1499 * time.Millisecond)
		require.Equal(t, "value", client.Get(ctx, "key").Val())
		time.Sleep(time.Millisecond)
		require.ErrorIs(t, client.Get(ctx, "key").Err(), redis.Nil)

		before := client.Time(ctx).Val()
		time.Sleep(48 * time.Hour)
		require.Equal(t, 48*time.Hour, client.Time(ctx).Val().Sub(before), "TIME, which scripts read, keeps up")
	})
}

func TestMessagesReachSubscribersOfTheSameClient(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		sub := client.Subscribe(t.Context(), "inbox")
		defer sub.Close()
		_, err := sub.Receive(t.Context())
		require.NoError(t, err)
		publish := redis.NewScript(`return redis.call("PUBLISH", KEYS[1], ARGV[1])`)
		require.Equal(t, int64(1), publish.Run(t.Context(), client, []string{"inbox"}, "hello").Val())
		msg, err := sub.ReceiveMessage(t.Context())
		require.NoError(t, err)
		require.Equal(t, "hello", msg.Payload)
	})
}

func TestSubscriberThatDoesNotReadStopsNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		sub := client.Subscribe(t.Context(), "inbox")
		defer sub.Close()
		_, err := sub.Receive(t.Context())
		require.NoError(t, err)
		for range 1000 {
			require.NoError(t, client.Publish(t.Context(), "inbox", strings.Repeat("x", 1000)).Err())
		}
	})
}

func TestLongPipelineIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		cmds, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for range 1000 {
				p.Echo(t.Context(), strings.Repeat("x", 1000))
			}
			return nil
		})
		require.NoError(t, err)
		require.Len(t, cmds, 1000)
	})
}

func TestClientHasTheSettingsOfConnect(t *testing.T) {
	t.Parallel()
	server, err := memredis.New()
	require.NoError(t, err)
	defer server.Close()
	client := server.Client().(*redis.Client)
	defer client.Close()
	model, err := refq.Connect("redis://127.0.0.1:6379")
	require.NoError(t, err)
	defer model.Close()
	got, want := *client.Options(), *model.(*redis.Client).Options()
	got.Dialer, want.Dialer = nil, nil
	got.PoolSize, want.PoolSize = 0, 0
	got.MaintNotificationsConfig, want.MaintNotificationsConfig = nil, nil // go-redis fills in what is disabled
	require.Equal(t, want, got)
}

func TestAsynqRetriesInVirtualTime(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		srv := asynq.NewServerFromRedisClient(client, asynq.Config{
			Concurrency:    2,
			RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Minute },
			LogLevel:       asynq.FatalLevel,
		})
		start := time.Now()
		ran := make(chan time.Duration, 3)
		require.NoError(t, srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
			ran <- time.Since(start)
			if len(ran) < 3 {
				return errors.New("not yet")
			}
			return nil
		})))
		info, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("work", nil), asynq.TaskID("id"), asynq.Retention(time.Hour))
		require.NoError(t, err)
		require.Equal(t, "id", info.ID)
		time.Sleep(3 * time.Minute)
		srv.Shutdown()

		close(ran)
		times := slices.Collect(func(yield func(time.Duration) bool) {
			for d := range ran {
				yield(d)
			}
		})
		require.Len(t, times, 3)
		require.InDelta(t, time.Minute, times[1]-times[0], float64(8*time.Second))
		require.InDelta(t, time.Minute, times[2]-times[1], float64(8*time.Second))

		inspector := asynq.NewInspectorFromRedisClient(client)
		info, err = inspector.GetTaskInfo("default", "id")
		require.NoError(t, err)
		require.Equal(t, asynq.TaskStateCompleted, info.State)
		queue, err := inspector.GetQueueInfo("default")
		require.NoError(t, err)
		require.Equal(t, 1, queue.Completed)
		require.Contains(t, server.Dump(), "asynq:{default}:t:id")
	})
}

// once makes a fault of the first command of that name.
func once(name string, fault memredis.Fault) func(cmd []string) memredis.Fault {
	var met atomic.Bool
	return func(cmd []string) memredis.Fault {
		if cmd[0] == name && met.CompareAndSwap(false, true) {
			return fault
		}
		return memredis.Pass
	}
}

func TestDroppedReplyRunsTheCommandAndItsResend(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		server.SetFaults(once("INCR", memredis.DropReply))
		require.Equal(t, int64(2), client.Incr(t.Context(), "runs").Val(), "once unseen, once answered")
		require.Equal(t, int64(3), client.Incr(t.Context(), "runs").Val())
	})
}

func TestDroppedReplyOfAScriptRunsTheScript(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		script := redis.NewScript(`return redis.call("INCR", KEYS[1])`)
		server.SetFaults(once("EVAL", memredis.DropReply)) // the script is new to the server
		require.Equal(t, int64(2), script.Run(t.Context(), client, []string{"runs"}).Val())
		server.SetFaults(once("EVALSHA", memredis.DropReply))
		require.Equal(t, int64(4), script.Run(t.Context(), client, []string{"runs"}).Val())
	})
}

func TestDroppedRequestRunsOnlyTheResend(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		server.SetFaults(once("INCR", memredis.DropRequest))
		require.Equal(t, int64(1), client.Incr(t.Context(), "runs").Val())
	})
}

func TestClientThatMayNotResendSeesTheCut(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		options := *client.(*redis.Client).Options()
		options.MaxRetries = -1
		careful := redis.NewClient(&options)
		defer careful.Close()
		for fault, runs := range map[memredis.Fault]string{memredis.DropReply: "1", memredis.DropRequest: ""} {
			client.FlushAll(t.Context())
			server.SetFaults(func(cmd []string) memredis.Fault {
				if cmd[0] == "INCR" {
					return fault
				}
				return memredis.Pass
			})
			require.ErrorIs(t, careful.Incr(t.Context(), "runs").Err(), io.EOF)
			require.Equal(t, runs, client.Get(t.Context(), "runs").Val(), fault)
		}
	})
}

func TestCutTakesTheRestOfThePipelineWithIt(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		options := *client.(*redis.Client).Options()
		options.MaxRetries = -1
		careful := redis.NewClient(&options)
		defer careful.Close()
		server.SetFaults(once("INCR", memredis.DropReply))
		_, err := careful.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Set(t.Context(), "before", 1, 0)
			p.Incr(t.Context(), "runs")
			p.Set(t.Context(), "after", 1, 0)
			return nil
		})
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, []any{"1", "1", nil}, client.MGet(t.Context(), "before", "runs", "after").Val())
	})
}

func TestFaultsKeepDatabaseAndTransaction(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		options := *client.(*redis.Client).Options()
		options.DB, options.MaxRetries = 5, -1
		other := redis.NewClient(&options)
		defer other.Close()
		server.SetFaults(once("EXEC", memredis.DropReply))
		_, err := other.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Incr(t.Context(), "runs")
			return nil
		})
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, "1", other.Get(t.Context(), "runs").Val())
		require.ErrorIs(t, client.Get(t.Context(), "runs").Err(), redis.Nil)
	})
}

func TestErrorFaultsAreRepliesInPlaceOfAnExecution(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		server.SetFaults(func(cmd []string) memredis.Fault {
			if slices.Equal(cmd, []string{"SET", "key", "value"}) {
				return "OOM command not allowed"
			}
			return memredis.Pass
		})
		require.EqualError(t, client.Set(t.Context(), "key", "value", 0).Err(), "OOM command not allowed")
		require.NoError(t, client.Set(t.Context(), "key", "other", 0).Err())
		server.SetFaults(nil)
		require.NoError(t, client.Set(t.Context(), "key", "value", 0).Err())
	})
}

func TestFaultsAreNotAskedAboutWhatScriptsCall(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		require.NoError(t, client.Ping(t.Context()).Err())
		server.SetFaults(once("INCR", "ERR injected"))
		script := redis.NewScript(`return redis.call("INCR", KEYS[1])`)
		require.Equal(t, int64(1), script.Run(t.Context(), client, []string{"runs"}).Val())
		require.EqualError(t, client.Incr(t.Context(), "runs").Err(), "ERR injected")
	})
}

func TestLostSubscriptionIsMadeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		server.SetFaults(once("SUBSCRIBE", memredis.DropReply))
		sub := client.Subscribe(t.Context(), "inbox")
		defer sub.Close()
		messages := sub.Channel()
		time.Sleep(10 * time.Second)
		require.Equal(t, int64(1), client.Publish(t.Context(), "inbox", "hello").Val())
		require.Equal(t, "hello", (<-messages).Payload)
	})
}

func TestFaultThatSleepsDelaysItsConnectionOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "INCR" {
				time.Sleep(time.Second)
			}
			return memredis.Pass
		})
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			client.Incr(t.Context(), "runs")
			done <- time.Since(start)
		}()
		synctest.Wait()
		require.ErrorIs(t, client.Get(t.Context(), "else").Err(), redis.Nil)
		require.Zero(t, time.Since(start))
		require.Equal(t, time.Second, <-done)
	})
}

func TestClosedServerRefusesConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		require.NoError(t, client.Ping(t.Context()).Err())
		server.Close()
		require.ErrorContains(t, client.Ping(t.Context()).Err(), "connection refused")
	})
}

func TestCloseDoesNotWaitForClientsThatDoNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
		sub := client.Subscribe(t.Context(), "inbox")
		defer sub.Close()
		_, err := sub.Receive(t.Context())
		require.NoError(t, err)
		require.NoError(t, client.Publish(t.Context(), "inbox", "unread").Err())
		start := time.Now()
		server.Close()
		require.LessOrEqual(t, time.Since(start), time.Second)
	})
}

func TestListeningServerIsARedisForOthers(t *testing.T) {
	t.Parallel()
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	over, err := refq.Connect("redis://" + server.Addr())
	require.NoError(t, err)
	defer over.Close()
	inside := server.Client()
	defer inside.Close()

	require.NoError(t, over.Set(t.Context(), "key", "value", 0).Err())
	require.Equal(t, "value", inside.Get(t.Context(), "key").Val())
	server.SetFaults(once("INCR", memredis.DropReply))
	require.Equal(t, int64(2), over.Incr(t.Context(), "runs").Val())

	_, err = memredis.Listen(server.Addr())
	require.ErrorContains(t, err, "in-memory Redis on "+server.Addr())
}

// What waits for a connection in one bubble would crash the next one to wait.
func TestManyCommandsAtOnceWaitForNoConnection(t *testing.T) {
	t.Parallel()
	for range 3 {
		t.Run("", func(t *testing.T) {
			inBubble(t, func(t *testing.T, server *memredis.Server, client redis.UniversalClient) {
				var callers sync.WaitGroup
				for range 1000 {
					callers.Go(func() {
						if err := client.Incr(t.Context(), "calls").Err(); err != nil {
							t.Error(err)
						}
					})
				}
				callers.Wait()
				require.Equal(t, "1000", client.Get(t.Context(), "calls").Val())
			})
		})
	}
}

func TestInfoTellsWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := memredis.New()
		require.NoError(t, err)
		defer s.Close()
		rdb := s.Client()
		defer rdb.Close()
		for _, faults := range []func([]string) memredis.Fault{nil, func([]string) memredis.Fault { return memredis.Pass }} {
			s.SetFaults(faults)
			info, err := rdb.Info(t.Context()).Result()
			require.NoError(t, err)
			require.Contains(t, info, "\r\nserver_name:refq-memredis\r\n")
			require.Contains(t, info, "\r\naof_enabled:0\r\n")
		}
	})
}
