package queue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

// What a task of bare asynq takes of Redis's time: in all, and of that in asynq's three scripts, which refq runs as well.
func BenchmarkAsynq(b *testing.B) {
	rdb := redis.NewClient(&redis.Options{Addr: testkit.New(b, "--save", "").Addr})
	b.Cleanup(func() { require.NoError(b, rdb.Close()) })
	client := asynq.NewClientFromRedisClient(rdb)
	payload := fmt.Appendf(nil, `{"pad":"%s"}`, strings.Repeat("x", 118))
	began := testkit.CPU(b, rdb)

	var enqueuing, handling sync.WaitGroup
	handling.Add(b.N)
	for i := range 64 {
		enqueuing.Go(func() {
			for n := i; n < b.N; n += 64 {
				_, err := client.Enqueue(asynq.NewTask("bench", payload))
				require.NoError(b, err)
			}
		})
	}
	enqueuing.Wait()
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 64, LogLevel: asynq.FatalLevel})
	require.NoError(b, server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		handling.Done()
		return nil
	})))
	handling.Wait()
	require.Eventually(b, func() bool { return rdb.LLen(b.Context(), "asynq:{default}:active").Val() == 0 }, time.Minute, time.Millisecond)

	b.ReportMetric((testkit.CPU(b, rdb)-began)*1e6/float64(b.N), "redis-us/op")
	var calls, spent float64
	_, err := fmt.Sscanf(rdb.InfoMap(b.Context(), "commandstats").Item("Commandstats", "cmdstat_evalsha"), "calls=%f,usec=%f,", &calls, &spent)
	require.NoError(b, err)
	b.ReportMetric(spent/float64(b.N), "scripts-us/op")
	server.Shutdown()
}
