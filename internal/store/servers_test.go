package store_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
)

// lookAt is what is found out about the one server at a URL.
func lookAt(t *testing.T, url string) monitor.ServerHealth {
	t.Helper()
	servers, _, err := store.New(dial(t, url)).Servers(t.Context())
	require.NoError(t, err)
	require.Len(t, servers, 1)
	return servers[0]
}

func TestServerTellsVersionMemoryAndPersistence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args                  []string
		policy                string
		most                  int64
		appendOnly, snapshots bool
	}{
		{[]string{"--save", "", "--appendonly", "no"}, "noeviction", 0, false, false},
		{[]string{"--save", "60 1", "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"}, "allkeys-lru", 100 << 20, false, true},
		{[]string{"--save", "", "--appendonly", "yes"}, "noeviction", 0, true, false},
	} {
		addr := testkit.New(t, c.args...).Addr
		s := lookAt(t, "redis://"+addr+testkit.Patience)
		require.Regexp(t, `^\d+\.\d+\.\d+$`, s.Version)
		require.Positive(t, s.UsedMemory)
		require.Less(t, *s.Latency, soon)
		require.InDelta(t, 0, *s.ClockSkew, float64(*s.Latency+50*time.Millisecond), "it is the same clock")
		s.Version, s.UsedMemory, s.Latency, s.ClockSkew = "", 0, nil, nil
		require.Equal(t, monitor.ServerHealth{Addr: addr, Role: "master", Replicas: new(0), EvictionPolicy: c.policy, MaxMemory: c.most,
			AppendOnly: new(c.appendOnly), Snapshots: new(c.snapshots)}, s)
	}
}

func TestServerThatCannotSaveIsFoundOutAndTakesNoWrites(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, enough...)
	require.NoError(t, g.admin.ConfigSet(t.Context(), "save", "3600 1").Err())
	t.Cleanup(func() { // else it would not end without having saved
		require.NoError(t, g.admin.ConfigSet(context.WithoutCancel(t.Context()), "save", "").Err())
	})
	require.NoError(t, os.RemoveAll(g.admin.ConfigGet(t.Context(), "dir").Val()["dir"]))
	require.NoError(t, g.admin.BgSave(t.Context()).Err())
	for strings.Contains(g.admin.Info(t.Context(), "persistence").Val(), "rdb_bgsave_in_progress:1") {
		runtime.Gosched()
	}
	require.Equal(t, "rdb_last_bgsave_status is err", lookAt(t, "redis://"+g.addr).SaveError)
	refused := g.refused()
	require.Len(t, refused, 1)
	require.Regexp(t, "^MISCONF", refused[0].Reason)
}

func TestServerMayKeepEverythingToItself(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	require.Equal(t, monitor.ServerHealth{Addr: g.addr}, lookAt(t, "redis://app:any@"+g.addr))
	g.permit("+info")
	s := lookAt(t, "redis://app:any@"+g.addr)
	require.Equal(t, "noeviction", s.EvictionPolicy)
	require.NotNil(t, s.AppendOnly)
	require.Nil(t, s.Snapshots)
}

func TestEveryMasterOfAClusterIsLookedAt(t *testing.T) {
	t.Parallel()
	node := testkit.New(t, "--cluster-enabled", "yes")
	require.NoError(t, dial(t, "redis://"+node.Addr+testkit.Patience).ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	s := lookAt(t, node.Addr+",")
	_, port, err := net.SplitHostPort(node.Addr)
	require.NoError(t, err)
	require.Contains(t, s.Addr, ":"+port)
	require.NotEmpty(t, s.Version)
	require.NotNil(t, s.Latency)
}

func TestInMemoryServerIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, server := bubble(t)
		server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "TIME" {
				time.Sleep(30 * time.Millisecond)
			}
			return memredis.Pass
		})
		servers, _, err := q.Servers(t.Context())
		require.NoError(t, err)
		require.Equal(t, []monitor.ServerHealth{{Addr: servers[0].Addr, InMemory: true, EvictionPolicy: "noeviction", AppendOnly: new(false),
			Latency: new(30 * time.Millisecond), ClockSkew: new(-15 * time.Millisecond)}}, servers)

		server.SetFaults(func([]string) memredis.Fault { return memredis.DropRequest })
		_, _, err = q.Servers(t.Context())
		require.ErrorContains(t, err, "look at Redis: ")
	})
}

func TestServerThatIsNearlyFullTellsWhatTakesItsMemory(t *testing.T) {
	t.Parallel()
	b := newBrimful(t)
	require.Nil(t, lookAt(t, "redis://"+b.addr).MemoryUses, "nobody needs it")
	noise := make([]byte, 37_500)
	_, _ = rand.Read(noise)                         // never fails
	big := base64.StdEncoding.EncodeToString(noise) // it cannot be packed
	for range 20 {
		b.end(b.processing(), b.Completed([]byte(rand.Text()+big)))
		require.NoError(t, b.rdb.HSet(t.Context(), "asynq:{q}:t:"+rand.Text(), "state", "archived", "msg", big[:5000]).Err())
	}
	f := failure()
	f.Error, f.Permanent = big[:20_000], true
	for range 10 {
		b.end(b.processing(), store.Errored(f))
	}
	require.NoError(t, b.rdb.Set(t.Context(), "other", big, 0).Err())
	b.fill(true)
	defer b.fill(false)
	uses := map[string]int64{}
	for _, u := range lookAt(t, "redis://"+b.addr).MemoryUses {
		uses[u.What] = u.Bytes
	}
	require.Greater(t, uses["results"], uses["failures"])
	require.Greater(t, uses["failures"], uses["asynq's archive"])
	require.Positive(t, uses["asynq's archive"])
	require.Less(t, max(uses["calls in flight"], uses["asynq's other keys"]), int64(1), "there are none")
}
