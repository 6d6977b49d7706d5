package monitor_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/monitor"
)

func TestNodesAreJudgedByWhatTheyAreAndEachIsNamed(t *testing.T) {
	t.Parallel()
	masters := func(change func(second *monitor.ServerHealth)) monitor.Health {
		h := healthy()
		for _, addr := range []string{"b:1", "c:1"} {
			s := h.Servers[0]
			s.Addr, s.Role, s.Replicas, s.Cluster = addr, "master", new(1), &monitor.ClusterHealth{}
			h.Servers = append(h.Servers, s)
		}
		h.Servers = h.Servers[1:]
		change(&h.Servers[1])
		return h
	}
	silent := masters(func(*monitor.ServerHealth) {})
	silent.Missing = []monitor.Missing{{Node: "d:1", Queues: []string{"q"}, Err: errors.New("no answer")}, {Node: "d:1", Err: errors.New("no answer")}}
	for _, c := range []struct {
		h     monitor.Health
		level monitor.Level
		fact  string
	}{
		{healthy(), ok, "1 server answers"},
		{masters(func(*monitor.ServerHealth) {}), ok, "2 masters answer; replicas: 2"},
		{silent, wrong, "d:1 does not answer"},
		{masters(func(s *monitor.ServerHealth) { s.Role = "slave" }), wrong, "c:1 is a replica"},
		{masters(func(s *monitor.ServerHealth) { s.Version = "7.2.4" }), warning, "versions differ: Redis 7.0.15, Redis 7.2.4"},
		{masters(func(s *monitor.ServerHealth) { s.Valkey = "8.0.1" }), warning, "versions differ: Redis 7.0.15, Valkey 8.0.1"},
		{masters(func(s *monitor.ServerHealth) { s.Cluster = &monitor.ClusterHealth{OpenSlots: []string{"77"}} }), warning,
			"c:1 has open slots, whose queues stand still: 77"},
		{masters(func(s *monitor.ServerHealth) { s.Cluster = &monitor.ClusterHealth{Unserved: 5461, Down: true} }), wrong,
			"c:1 says that slots are not served: 5461"},
		{masters(func(s *monitor.ServerHealth) { s.Cluster = &monitor.ClusterHealth{Down: true} }), wrong, "c:1 says that its Cluster is down"},
		{masters(func(s *monitor.ServerHealth) { s.Cluster = &monitor.ClusterHealth{SilentReplicas: []string{"e:1"}} }), warning,
			"c:1 does not reach its replicas e:1"},
	} {
		f := finding(t, c.h, "nodes")
		require.Equal(t, c.fact, f.Fact)
		require.Equal(t, c.level, f.Level, c.fact)
		require.Equal(t, c.level == ok, f.Remedy == "", c.fact)
	}
}

func TestValkeyIsNamed(t *testing.T) {
	t.Parallel()
	h := healthy()
	h.Servers[0].Valkey, h.Servers[0].Version = "8.0.1", "7.2.4"
	require.Equal(t, "Valkey 8.0.1, as Redis 7.2.4", finding(t, h, "redis_version").Fact)
}

func TestWhatANodeRefusesNamesIt(t *testing.T) {
	t.Parallel()
	for fact, r := range map[string]monitor.Refusal{
		"not permitted: ZADD on refq:{q}:* at b:1": {Keys: "refq:{q}:*", Commands: []string{"ZADD"}, Node: "b:1"},
		"not permitted: keys refq:{q}:* at b:1":    {Keys: "refq:{q}:*", Node: "b:1"},
		"not permitted: channels refq:x at b:1":    {Channels: "refq:x", Node: "b:1"},
		"b:1 refuses to work: OOM no":              {Reason: "OOM no", Node: "b:1"},
	} {
		h := healthy()
		h.Refused = []monitor.Refusal{r}
		require.Equal(t, fact, finding(t, h, "permissions").Fact)
	}
}

func TestWhatRunsLongestIsNamedWithWhoRunsIt(t *testing.T) {
	t.Parallel()
	h := healthy()
	require.Equal(t, "no worker tells of an attempt that runs", finding(t, h, "oldest_running").Fact)
	h.Workers[0].Oldest = []monitor.RunningAttempt{{Ref: "media:aa", Func: "thumb@2", For: 30 * time.Minute}}
	f := finding(t, h, "oldest_running")
	require.Equal(t, ok, f.Level)
	require.Equal(t, "running for 30m0s: thumb@2 (media:aa), by worker h-1-abc on h, pid 1", f.Fact)
	h.Workers[0].Oldest[0].For = 2 * time.Hour
	f = finding(t, h, "oldest_running")
	require.Equal(t, warning, f.Level)
	require.Contains(t, f.Remedy, "refq cancel media:aa")
	h.Workers[0].Alive = false
	require.Equal(t, ok, finding(t, h, "oldest_running").Level, "leftovers tells of the dead")
}
