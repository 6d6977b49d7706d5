package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// published is how many messages the nodes of a Cluster were given.
func published(t *testing.T, rdb *redis.ClusterClient) int {
	var n atomic.Int64 // all are asked at once
	err := rdb.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		stats, err := node.Info(ctx, "commandstats").Result()
		for _, found := range regexp.MustCompile(`cmdstat_s?publish:calls=(\d+)`).FindAllStringSubmatch(stats, -1) {
			calls, _ := strconv.Atoi(found[1])
			n.Add(int64(calls))
		}
		return err
	})
	require.NoError(t, err)
	return int(n.Load())
}

// A message that is not heard where it is sent would be sent to the next worker.
func TestACallOnAClusterWakesOneOfManyIdleWorkers(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	const workers, calls = 40, 100
	cluster := testkit.Cluster(t, 3, 0)
	client, err := refq.Connect("redis-cluster://" + cluster.Masters[0].Addr)
	require.NoError(t, err)
	defer client.Close()
	rdb := client.(*redis.ClusterClient)
	queues := onNodes(t, rdb, 3)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, workers)
	for range workers {
		w := worker.New(rdb, worker.Config{Concurrency: 1, Logger: slog.New(slog.DiscardHandler)})
		for _, queue := range queues {
			worker.Handle(w, holdIn(queue), func(_ context.Context, n int) (int, error) { return n, nil })
		}
		go func() { ended <- w.Run(ctx) }()
	}
	idle := func(queue string) int64 { return rdb.SCard(t.Context(), "refq:{"+queue+"}:idle").Val() }
	heard := func(queue string) bool {
		node, err := rdb.MasterForKey(t.Context(), "refq:{"+queue+"}:")
		require.NoError(t, err)
		return len(node.PubSubShardChannels(t.Context(), "refq:{"+queue+"}:wake:*").Val()) == workers
	}
	for _, queue := range queues {
		require.Eventually(t, func() bool { return idle(queue) == workers && heard(queue) }, testkit.Within(30*time.Second), 10*time.Millisecond)
	}

	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	began := published(t, rdb)
	for n := range calls {
		for _, queue := range queues {
			ref, err := producer.Submit(t.Context(), p, holdIn(queue), n)
			require.NoError(t, err)
			require.Eventually(t, func() bool { // who waits is told by a message
				info, err := p.Info(t.Context(), ref)
				return err == nil && info.Status == refcache.Complete && idle(queue) == workers
			}, testkit.Within(30*time.Second), 5*time.Millisecond, fmt.Sprint(n))
		}
	}
	perCall := float64(published(t, rdb)-began) / (calls * float64(len(queues)))
	t.Logf("%.2f messages a call", perCall)
	require.LessOrEqual(t, perCall, 1.3)
	stop()
	for range workers {
		require.NoError(t, <-ended)
	}
}
