package store_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// A slot is half moved when its new node may be asked and its keys are still at the old one.
func TestNothingRunsOnAQueueWhoseSlotIsHalfMoved(t *testing.T) {
	t.Parallel()
	cluster := testkit.Cluster(t, 2, 0)
	options := testkit.ClusterOptions(cluster.Masters[0].Addr)
	options.MaxRedirects = 1
	rdb := redis.NewClusterClient(options)
	defer rdb.Close()
	q := newQueue(t, rdb)
	attempts := func(ctx context.Context) map[string]error {
		failed := map[string]error{}
		_, failed["beat"] = q.Heartbeat(ctx, q.name, store.Beat{Worker: "w1", About: "about w1"})
		_, failed["sweep"] = q.Sweep(ctx, q.name, 100, true, "", "w1")
		_, failed["sweep_gates"] = q.SweepGates(ctx, q.name)
		failed["remove_worker"] = q.RemoveWorker(ctx, q.name, "w9", "w1")
		failed["leave"] = first(q.Leave(ctx, []string{q.name}, "w9"))
		failed["invalidate"] = q.Invalidate(ctx, q.name, []string{"t:x"})
		failed["gates"] = q.DeclareGates(ctx, q.name, []store.DeclaredGate{{Name: "g", Numbers: store.GateNumbers{Each: 1}}})
		_, _, failed["pause_gate"] = q.PauseGate(ctx, q.name, refcache.Pause{Gate: "g", By: "ann"}, 0)
		_, _, failed["overview"] = q.Overview(ctx, q.name, "*")
		return failed
	}
	q.submit(q.ref(), q.submission())
	for name, err := range attempts(t.Context()) {
		require.NoError(t, err, name)
	}

	from, err := rdb.MasterForKey(t.Context(), q.record(q.ref()))
	require.NoError(t, err)
	to := redis.NewClient(testkit.Options(cluster.Masters[0].Addr))
	if from.Options().Addr == cluster.Masters[0].Addr {
		to = redis.NewClient(testkit.Options(cluster.Masters[1].Addr))
	}
	defer to.Close()
	slot := rdb.ClusterKeySlot(t.Context(), q.name).Val()
	do := func(node *redis.Client, words ...any) {
		require.NoError(t, node.Do(t.Context(), append([]any{"CLUSTER", "SETSLOT", slot}, words...)...).Err())
	}
	do(to, "IMPORTING", from.ClusterMyID(t.Context()).Val())
	do(from, "MIGRATING", to.ClusterMyID(t.Context()).Val())
	for name, err := range attempts(t.Context()) {
		require.ErrorContains(t, err, "TRYAGAIN", name)
	}
	_, err = q.Submit(t.Context(), q.ref(), q.submission())
	require.ErrorContains(t, err, "TRYAGAIN")
	require.Zero(t, to.ClusterCountKeysInSlot(t.Context(), int(slot)).Val(), "nothing has come to be at the new node")

	do(from, "STABLE")
	do(to, "STABLE")
	for name, err := range attempts(t.Context()) {
		require.NoError(t, err, name)
	}
}

func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}
