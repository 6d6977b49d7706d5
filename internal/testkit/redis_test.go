package testkit_test

import (
	"testing"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

func TestAllTestsShareOneServer(t *testing.T) {
	t.Parallel()
	addr := testkit.Start(t)
	require.Equal(t, addr, testkit.Start(t))
	require.Contains(t, connect(t, addr).Info(t.Context(), "server").Val(), "redis_version")
}

func TestAServerOfATestComesBackWithWhatItKept(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, "--appendonly", "yes")
	rdb := connect(t, s.Addr)
	require.NoError(t, rdb.Set(t.Context(), "key", "kept", 0).Err())
	s.Stop()
	require.Error(t, connect(t, s.Addr+"?max_retries=-1").Ping(t.Context()).Err())
	s.Start()
	require.Equal(t, "kept", rdb.Get(t.Context(), "key").Val())
}

func TestAKilledServerSavesNothing(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, "--save", "3600 1")
	rdb := connect(t, s.Addr)
	require.NoError(t, rdb.Set(t.Context(), "key", "stopped", 0).Err())
	s.Stop()
	s.Start()
	require.NoError(t, rdb.Set(t.Context(), "key", "killed", 0).Err())
	s.Kill()
	s.Start()
	require.Equal(t, "stopped", rdb.Get(t.Context(), "key").Val())
}

func connect(t *testing.T, addr string) redis.UniversalClient {
	rdb, err := refq.Connect("redis://" + addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestAKilledServerComesBackWithWhatItWrote(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, "--appendonly", "yes", "--appendfsync", "always")
	rdb := connect(t, s.Addr)
	require.NoError(t, rdb.Set(t.Context(), "key", "kept", 0).Err())
	s.Kill()
	require.Error(t, connect(t, s.Addr+"?max_retries=-1").Ping(t.Context()).Err())
	s.Start()
	require.Equal(t, "kept", rdb.Get(t.Context(), "key").Val())
}
