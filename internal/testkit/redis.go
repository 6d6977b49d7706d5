// Package testkit gives tests a real Redis.
package testkit

import (
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/testkit/redisserver"
)

// Start returns the host:port of a redis-server on the loopback interface that all tests of the test binary share, so
// each uses keys of its own. The first test starts it; it ends with the binary, however that ends. Without a
// redis-server on PATH the test is skipped, or fails if REFQ_REQUIRE_REDIS is 1. It may be called concurrently.
func Start(tb testing.TB) (addr string) {
	tb.Helper()
	require(tb)
	s, err := shared()
	if err != nil {
		tb.Fatalf("start redis-server: %v", err)
	}
	return s.Addr
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

func require(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("REFQ_REQUIRE_REDIS") == "1" {
			tb.Fatalf("REFQ_REQUIRE_REDIS is 1, but there is no redis-server: %v", err)
		}
		tb.Skipf("skipped, it needs a real Redis: %v", err)
	}
}

var shared = sync.OnceValues(func() (*redisserver.Server, error) {
	return redisserver.Start("--save", "", "--appendonly", "no")
})
