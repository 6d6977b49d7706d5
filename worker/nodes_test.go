package worker_test

import (
	"context"
	"fmt"
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

// onNodes returns a queue on each master of a Cluster.
func onNodes(t *testing.T, rdb *redis.ClusterClient, masters int) map[string]string {
	queues := map[string]string{} // by node
	for n := 0; len(queues) < masters; n++ {
		name := fmt.Sprintf("q%d", n)
		node, err := rdb.MasterForKey(t.Context(), "refq:{"+name+"}:")
		require.NoError(t, err)
		queues[node.Options().Addr] = name
	}
	return queues
}

// holdIn is a function of a queue.
func holdIn(queue string) refcache.Func[int, int] {
	return refcache.Func[int, int]{Name: "hold-" + queue, Queue: queue}
}

// The node that is silent holds the lists of queues, too.
func TestASilentNodeIsTheOutageOfItsOwnQueues(t *testing.T) {
	t.Parallel()
	cluster := testkit.Cluster(t, 3, 0, "--cluster-node-timeout", "60000", "--cluster-require-full-coverage", "no")
	client, err := refq.Connect("redis-cluster://" + cluster.Masters[0].Addr)
	require.NoError(t, err)
	defer client.Close()
	rdb := client.(*redis.ClusterClient)
	queues := onNodes(t, rdb, 3)
	silent, err := rdb.MasterForKey(t.Context(), "refq:queues")
	require.NoError(t, err)

	holding := make(chan struct{})
	w := worker.New(rdb, worker.Config{})
	for _, queue := range queues {
		worker.Handle(w, holdIn(queue), func(_ context.Context, n int) (int, error) {
			if n == 0 {
				<-holding
			}
			return n, nil
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() { stop(); <-ended }()
	served := func(queue string) error {
		for _, q := range w.Served() {
			if q.Queue == queue {
				return q.Err
			}
		}
		return fmt.Errorf("%s is none of the worker's", queue)
	}
	for _, queue := range queues {
		require.Eventually(t, func() bool { return served(queue) == nil }, testkit.Within(10*time.Second), 10*time.Millisecond)
	}

	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	var held []refcache.Ref
	for node, queue := range queues {
		if node == silent.Options().Addr {
			continue
		}
		ref, err := producer.Submit(t.Context(), p, holdIn(queue), 0)
		require.NoError(t, err)
		held = append(held, ref)
	}
	for _, master := range cluster.Masters {
		if master.Addr == silent.Options().Addr {
			require.NoError(t, master.Signal("STOP"))
			defer func() { require.NoError(t, master.Signal("CONT")) }()
		}
	}
	lost := queues[silent.Options().Addr]
	require.Eventually(t, func() bool { return served(lost) != nil }, testkit.Within(20*time.Second), 10*time.Millisecond)
	require.NoError(t, w.Ready(), "two of three are served")
	fresh := producer.New(rdb, producer.Config{}) // it has noted no queue yet, and cannot
	defer fresh.Close()
	for node, queue := range queues {
		if node == silent.Options().Addr {
			continue
		}
		require.NoError(t, served(queue), queue)
		res, err := producer.Call(t.Context(), fresh, holdIn(queue), 7)
		require.NoError(t, err)
		require.Equal(t, 7, res.Value)
	}
	close(holding)
	for _, ref := range held { // they have run for longer than a worker may be silent
		res, err := producer.Wait(t.Context(), p, holdIn(ref.Queue()), ref)
		require.NoError(t, err)
		require.Zero(t, res.Value)
		info, err := p.Info(t.Context(), ref)
		require.NoError(t, err)
		require.Empty(t, info.Events, "no attempt was taken from the worker")
	}
}
