package refqtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refqtest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestDayPassesAtOnceInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := refqtest.NewRedis(t)
		require.NoError(t, rdb.Set(t.Context(), "greeting", "hello", 24*time.Hour).Err())

		time.Sleep(24*time.Hour - time.Second)
		require.Equal(t, "hello", rdb.Get(t.Context(), "greeting").Val())
		require.Equal(t, time.Second, rdb.TTL(t.Context(), "greeting").Val())

		time.Sleep(time.Second)
		require.ErrorIs(t, rdb.Get(t.Context(), "greeting").Err(), redis.Nil)
	})
}

func TestQueueRunsInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := refqtest.NewRedis(t)
		srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{LogLevel: asynq.FatalLevel})
		done := make(chan time.Time, 1)
		failed := false
		require.NoError(t, srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
			if !failed {
				failed = true
				return errors.New("not yet")
			}
			done <- time.Now()
			return nil
		})))
		defer srv.Shutdown()

		start := time.Now()
		_, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("work", nil))
		require.NoError(t, err)
		require.Greater(t, (<-done).Sub(start), 10*time.Second, "asynq waits that long, the test does not")
	})
}

func TestWorksOutsideOfBubbles(t *testing.T) {
	t.Parallel()
	rdb := refqtest.NewRedis(t)
	sub := rdb.Subscribe(t.Context(), "news")
	defer sub.Close()
	_, err := sub.Receive(t.Context())
	require.NoError(t, err)
	require.NoError(t, rdb.Publish(t.Context(), "news", "none").Err())
	msg, err := sub.ReceiveMessage(t.Context())
	require.NoError(t, err)
	require.Equal(t, "none", msg.Payload)
}

func TestEachTestHasARedisOfItsOwn(t *testing.T) {
	t.Parallel()
	one, other := refqtest.NewRedis(t), refqtest.NewRedis(t)
	require.NoError(t, one.Set(t.Context(), "key", "value", 0).Err())
	require.ErrorIs(t, other.Get(t.Context(), "key").Err(), redis.Nil)
}

func TestRedisIsClosedWithItsTest(t *testing.T) {
	var rdb redis.UniversalClient
	t.Run("inner", func(t *testing.T) { rdb = refqtest.NewRedis(t) })
	require.ErrorIs(t, rdb.Ping(t.Context()).Err(), redis.ErrClosed)
}
