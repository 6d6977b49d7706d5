//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

// One node of three is silent, and has no replica: what people look at names it, and shows the rest.
func TestWhoLooksIsToldWhichNodeIsSilent(t *testing.T) {
	t.Parallel()
	cluster := testkit.Cluster(t, 3, 0, "--cluster-node-timeout", "60000") // nobody is said to have failed
	rdb := redis.NewClusterClient(testkit.ClusterOptions(cluster.Masters[0].Addr))
	t.Cleanup(func() { _ = rdb.Close() })
	nodeOf := func(key string) string {
		node, err := rdb.MasterForKey(t.Context(), key)
		require.NoError(t, err)
		return node.Options().Addr
	}
	listed := nodeOf("refq:queues")
	queueOn := func(is func(node string) bool) string {
		for n := 0; ; n++ {
			if queue := fmt.Sprint("q", n); is(nodeOf("refq:{" + queue + "}:-")) {
				return queue
			}
		}
	}
	hidden := queueOn(func(node string) bool { return node != listed })
	node := nodeOf("refq:{" + hidden + "}:-")
	shown := queueOn(func(at string) bool { return at != node })
	exec := []string{testBinary(t)}
	config := keys{"web": keys{"listen": "127.0.0.1:0"}, "functions": keys{"a": keys{"exec": exec, "queue": shown}, "b": keys{"exec": exec, "queue": hidden}}}
	s := newSiteAt(t, "redis-cluster://"+strings.Join([]string{cluster.Masters[0].Addr, cluster.Masters[1].Addr, cluster.Masters[2].Addr}, ","), nil, config)
	for _, name := range []string{"a", "b"} {
		require.Equal(t, 3, s.refq("call", name, "--wait", "0").exitCode())
	}
	site := s.web()
	get := func(path string) (status int, body string) {
		response, err := http.Get(site + path)
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(text)
	}
	_, body := get("/api/v1/calls")
	require.NotContains(t, body, `"missing"`)

	signal := func(node, signal string) {
		for _, master := range cluster.Masters {
			if master.Addr == node {
				require.NoError(t, master.Signal(signal))
			}
		}
	}
	signal(node, "STOP")
	says := fmt.Sprintf("node %s does not answer: queue %s is missing", node, hidden)
	for _, verb := range []string{"ls", "doctor", "gates", "pauses", "functions --stats", "retry --all --dry-run"} {
		began := time.Now()
		p := s.refq(strings.Fields(verb)...)
		took := time.Since(began)
		t.Log(verb, took)
		require.Contains(t, p.stderr.String(), "refq: "+says+"\n", verb)
		require.Equal(t, 1, p.exitCode(), verb)
		require.Less(t, took, testkit.Within(4*time.Second), verb)
		if verb == "ls" {
			require.Contains(t, p.stdout.String(), shown+":")
		}
	}
	status, body := get("/api/v1/calls")
	require.Equal(t, 200, status)
	require.Contains(t, body, fmt.Sprintf(`"missing":[{"node":%q,"queues":[%q],"error":`, node, hidden))
	require.Contains(t, body, shown+":")
	for _, path := range []string{"/api/v1/gates", "/api/v1/pauses"} {
		status, body := get(path)
		require.Equal(t, 200, status)
		require.Contains(t, body, fmt.Sprintf(`"missing":[{"node":%q,"queues":[%q]`, node, hidden))
	}
	status, _ = get("/api/v1/calls?queue=" + url.QueryEscape(hidden))
	require.Equal(t, 503, status, "there is nothing")
	for _, path := range []string{"/", "/calls", "/functions", "/gates"} {
		status, body := get(path)
		require.Equal(t, 200, status, path)
		require.Contains(t, body, says, path)
	}
	_, body = get("/metrics")
	require.Contains(t, body, fmt.Sprintf("refq_redis_node_up{node=%q} 0", node))
	require.Contains(t, body, fmt.Sprintf("refq_redis_node_up{node=%q} 1", listed))
	require.Contains(t, body, fmt.Sprintf(`refq_queue_tasks{queue=%q,status="pending"} 1`, shown))
	require.NotContains(t, body, fmt.Sprintf(`refq_queue_tasks{queue=%q`, hidden))

	signal(node, "CONT")
	signal(listed, "STOP")
	p := s.refq("ls")
	require.Equal(t, 1, p.exitCode())
	require.Contains(t, p.stderr.String(), "node "+listed+" does not answer: the list of queues is missing")
	require.Contains(t, p.stdout.String(), hidden+":", "config.yaml names its queue")
}

// web starts refq web, and returns where it is.
func (s *site) web() string {
	p := s.start("web", "-o", "json")
	for {
		said, more := p.stdout.read()
		var where struct{ Web string }
		if json.Unmarshal([]byte(said), &where) == nil {
			return where.Web
		}
		await(s.t, "refq web says where it is", more)
	}
}
