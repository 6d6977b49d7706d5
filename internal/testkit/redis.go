// Package testkit is what tests of all packages share: how they are run, the room that they have on the machine, a Redis,
// and refq as a program. It imports neither producer nor worker, so that every package's tests may use it; who needs
// those uses testkit/world.
package testkit

import (
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit/redisserver"
)

// Memory returns a Redis in memory, which ends with the test, and a client of it, which is closed before that. In a
// bubble both have the bubble's clock.
func Memory(t testing.TB) (*memredis.Server, redis.UniversalClient) {
	t.Helper()
	server, err := memredis.New()
	require.NoError(t, err)
	t.Cleanup(server.Close)
	rdb := server.Client()
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return server, rdb
}

// Start returns the host:port of a redis-server on the loopback interface that all tests of the test binary share, so
// each uses keys of its own. The first test starts it; it ends with the binary, however that ends. Without a
// redis-server on PATH, and with -short, the test is skipped; it fails without one if REFQ_REQUIRE_REDIS is 1. It may be
// called concurrently.
func Start(tb testing.TB) (addr string) {
	tb.Helper()
	requireServer(tb)
	s, err := shared()
	if err != nil {
		tb.Fatalf("start redis-server: %v", err)
	}
	return s.Addr
}

// Patience is the query of a Redis URL whose client waits a minute for a connection and for each reply: the machine may
// be busy.
const Patience = "?dial_timeout=1m&read_timeout=1m&write_timeout=1m"

// Options are those of a plain client with that patience.
func Options(addr string) *redis.Options {
	return &redis.Options{Addr: addr, DialTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		MaintNotificationsConfig: unnotified()}
}

// ClusterOptions are those of a client of a Cluster with that patience.
func ClusterOptions(addr string) *redis.ClusterOptions {
	return &redis.ClusterOptions{Addrs: []string{addr}, DialTimeout: time.Minute, ReadTimeout: time.Minute,
		WriteTimeout: time.Minute, MaintNotificationsConfig: unnotified()}
}

// unnotified takes no notifications of maintenance. For these go-redis starts goroutines, of which those of a Cluster's
// client, and of clients that share their options, outlive it.
func unnotified() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// CPU is the time that a Redis has worked since it started, in seconds.
func CPU(tb testing.TB, rdb redis.UniversalClient) (sum float64) {
	tb.Helper()
	info := rdb.InfoMap(tb.Context(), "cpu")
	for _, kind := range []string{"used_cpu_sys", "used_cpu_user"} {
		seconds, err := strconv.ParseFloat(info.Item("CPU", kind), 64)
		if err != nil {
			tb.Fatalf("read %s of Redis: %v", kind, err)
		}
		sum += seconds
	}
	return sum
}

func requireServer(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("skipped, it needs a real Redis, and the tests are short")
	}
	if _, err := exec.LookPath(redisserver.Program()); err != nil {
		if os.Getenv("REFQ_REQUIRE_REDIS") == "1" {
			tb.Fatalf("REFQ_REQUIRE_REDIS is 1, but there is no server: %v", err)
		}
		tb.Skipf("skipped, it needs a real Redis: %v", err)
	}
}

var shared = sync.OnceValues(func() (*redisserver.Server, error) {
	return redisserver.Start("--save", "", "--appendonly", "no")
})
