package admin_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/monitor"
)

// A node that is silent, a right that one node refuses and a slot that is half moved are told together, each with its node.
func TestTheDoctorNamesTheNodesOfAClusterThatAreNotOk(t *testing.T) {
	t.Parallel()
	cluster := testkit.Cluster(t, 3, 0, "--cluster-node-timeout", "60000", "--cluster-require-full-coverage", "no")
	client, err := refq.Connect("redis-cluster://" + cluster.Masters[0].Addr)
	require.NoError(t, err)
	defer client.Close()
	a := admin.New(client, admin.Config{})
	defer a.Close()
	find := func(id string) monitor.Finding {
		h, _ := a.Health(t.Context())
		for _, f := range h.Findings() {
			if f.ID == id {
				return f
			}
		}
		return monitor.Finding{}
	}
	require.Equal(t, "3 masters answer; replicas: 0", find("nodes").Fact)
	require.Equal(t, monitor.LevelOK, find("permissions").Level)

	direct := func(n int) *redis.Client {
		rdb := redis.NewClient(testkit.Options(cluster.Masters[n].Addr))
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}
	first, second := direct(0), direct(1)
	require.NoError(t, first.Do(t.Context(), "ACL", "SETUSER", "default", "-spublish").Err())
	f := find("permissions")
	require.Equal(t, monitor.LevelWrong, f.Level)
	require.Equal(t, "not permitted: SPUBLISH at "+cluster.Masters[0].Addr, f.Fact)
	require.NoError(t, first.Do(t.Context(), "ACL", "SETUSER", "default", "+spublish").Err())

	id, err := second.Do(t.Context(), "CLUSTER", "MYID").Text()
	require.NoError(t, err)
	require.NoError(t, first.Do(t.Context(), "CLUSTER", "SETSLOT", 0, "MIGRATING", id).Err())
	require.Contains(t, find("nodes").Fact, cluster.Masters[0].Addr+" has open slots")

	require.NoError(t, cluster.Masters[2].Signal("STOP"))
	defer func() { require.NoError(t, cluster.Masters[2].Signal("CONT")) }()
	f = find("nodes")
	require.Equal(t, monitor.LevelWrong, f.Level)
	require.Contains(t, f.Fact, cluster.Masters[2].Addr+" does not answer")
	require.Contains(t, f.Fact, cluster.Masters[0].Addr+" has open slots")
}
