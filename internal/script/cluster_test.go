package script_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/redisserver"
)

// go-redis looks for the nodes each minute.
func TestAUsersClusterClientFollowsAPromotion(t *testing.T) {
	t.Parallel()
	cluster := testkit.Cluster(t, 3, 1, "--cluster-node-timeout", "1000")
	options := testkit.ClusterOptions(cluster.Masters[1].Addr)
	options.ReadTimeout = time.Second
	users := redis.NewClusterClient(options)
	t.Cleanup(func() { _ = users.Close() })
	require.NoError(t, users.Set(t.Context(), "a", 1, 0).Err(), "it is used before")
	rdb := script.New(users)
	key := keyOf(t, users, cluster.Masters[0])
	heard := make(chan any, 100)
	sub := script.Subscribe(rdb, time.Second)
	sub.Add(key)
	go sub.Receive(func(what any) { heard <- what })
	t.Cleanup(func() { _ = sub.Close() })
	require.IsType(t, &redis.Subscription{}, <-heard)
	_, err := rdb.Eval(t.Context(), incr, []string{key}).Result()
	require.NoError(t, err)

	require.NoError(t, cluster.Masters[0].Kill())
	successor := redis.NewClient(&redis.Options{Addr: cluster.Replicas[0].Addr})
	t.Cleanup(func() { _ = successor.Close() })
	goesOn := make(chan struct{})
	go func() {
		defer close(goesOn)
		for t.Context().Err() == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			err := rdb.Eval(ctx, incr, []string{key}).Err()
			cancel()
			if err == nil {
				return
			}
		}
	}()
	require.Eventually(t, func() bool {
		return successor.Do(t.Context(), "ROLE").Val().([]any)[0] == "master"
	}, testkit.Within(30*time.Second), 10*time.Millisecond)
	promoted := time.Now()
	<-goesOn
	require.Less(t, time.Since(promoted), testkit.Within(2*time.Second))
	require.IsType(t, &redis.Subscription{}, <-heard, "the subscription, too")
	require.Less(t, time.Since(promoted), testkit.Within(3*time.Second))
}

// keyOf returns a key in the slots of a node.
func keyOf(t *testing.T, rdb *redis.ClusterClient, node *redisserver.Server) string {
	for n := range 1000 {
		key := string(rune('a'+n%26)) + string(rune('a'+n/26))
		if owner, err := rdb.MasterForKey(t.Context(), key); err == nil && owner.Options().Addr == node.Addr {
			return key
		}
	}
	t.Fatal("no key")
	return ""
}
