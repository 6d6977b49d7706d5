package script_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/testkit"
)

// spread returns channels of many slots, and begins to hear them.
func spread(t *testing.T, rdb redis.UniversalClient) (channels []string, heard <-chan string) {
	for n := range 12 {
		channels = append(channels, fmt.Sprintf("{q%d}:a", n), fmt.Sprintf("{q%d}:b", n))
	}
	sub := script.Subscribe(rdb, time.Second)
	sub.Add(channels[:6]...)
	messages := make(chan string, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sub.Receive(func(what any) {
			if m, ok := what.(*redis.Message); ok {
				messages <- m.Channel
			}
		})
	}()
	t.Cleanup(func() {
		require.NoError(t, sub.Close())
		<-ended
	})
	sub.Add(channels[6:]...)
	return channels, messages
}

// hears publishes on a channel until the message is heard.
func hears(t *testing.T, rdb *redis.ClusterClient, channel string, heard <-chan string) {
	for try := time.NewTicker(20 * time.Millisecond); ; {
		require.NoError(t, rdb.SPublish(t.Context(), channel, "").Err())
		select {
		case got := <-heard:
			if got == channel {
				return
			}
		case <-try.C:
		case <-t.Context().Done():
			require.FailNow(t, "nothing is heard on "+channel)
		}
	}
}

func TestASubscriptionHasOneConnectionToEachNodeAndFollowsSlots(t *testing.T) {
	t.Parallel()
	cluster := testkit.Cluster(t, 3, 0)
	options := testkit.ClusterOptions(cluster.Masters[0].Addr)
	options.ClientName = "subscriber"
	rdb := redis.NewClusterClient(options)
	defer rdb.Close()
	channels, heard := spread(t, rdb)
	for _, channel := range channels {
		hears(t, rdb, channel, heard)
	}
	err := rdb.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		list, err := node.Do(ctx, "CLIENT", "LIST", "TYPE", "pubsub").Text()
		require.Equal(t, 1, strings.Count(list, "\n"), list)
		return err
	})
	require.NoError(t, err)

	// A slot moves, and nothing of it is under way.
	slot := rdb.ClusterKeySlot(t.Context(), channels[0]).Val()
	from, err := rdb.MasterForKey(t.Context(), channels[0])
	require.NoError(t, err)
	var to *redis.Client
	for _, s := range cluster.Masters {
		if s.Addr != from.Options().Addr {
			to = redis.NewClient(testkit.Options(s.Addr))
			defer to.Close()
			break
		}
	}
	id := to.ClusterMyID(t.Context()).Val()
	for _, node := range []*redis.Client{to, from} {
		require.NoError(t, node.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", id).Err())
	}
	for _, channel := range channels {
		hears(t, rdb, channel, heard)
	}
}

// In memory there are no sharded channels.
func TestASubscriptionHearsPlainMessagesWhereThereAreNoOthers(t *testing.T) {
	t.Parallel()
	_, rdb := testkit.Memory(t)
	channels, heard := spread(t, rdb)
	for _, channel := range channels {
		require.Eventually(t, func() bool {
			return rdb.Publish(t.Context(), channel, "").Val() == 1
		}, testkit.Within(10*time.Second), time.Millisecond)
		require.Equal(t, channel, <-heard)
	}
}
