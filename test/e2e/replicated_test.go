//go:build unix

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

// replicated is a Redis with a replica, and a Sentinel that replaces one by the other.
type replicated struct {
	t                         *testing.T
	master, replica, sentinel *testkit.Server
	url                       string
}

// replication is what both servers need to be told: the replica signs in, so that it can be locked out.
var replication = []string{"--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
	"--masteruser", "replica", "--masterauth", "secret", "--user", "replica", "on", ">secret", "~*", "&*", "+@all"}

// newReplicated has the Sentinel take the master for dead after 5 s. It replaces it by a replica only if that has lost the
// master for less than ten times as long, plus the time since the Sentinel saw it dead: a test has that long between
// cutOff and the death of the master.
func newReplicated(t *testing.T) *replicated {
	t.Helper()
	r := &replicated{t: t, master: testkit.New(t, replication...)}
	host, port, err := net.SplitHostPort(r.master.Addr)
	require.NoError(t, err)
	r.replica = testkit.New(t, append([]string{"--replicaof", host, port}, replication...)...)
	r.until(r.replica, "master_link_status:up") // a Sentinel that starts later knows it at once
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `sentinel monitor main %s %s 1
sentinel down-after-milliseconds main 5000
sentinel failover-timeout main 3000
`, host, port), 0o600))
	r.sentinel = testkit.New(t, file, "--sentinel")
	r.url = "redis-sentinel://" + r.sentinel.Addr + "/0?master=main"
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: r.sentinel.Addr})
	t.Cleanup(func() { _ = sentinel.Close() })
	require.Eventually(t, func() bool {
		replicas, err := sentinel.Replicas(t.Context(), "main").Result()
		return err == nil && len(replicas) == 1
	}, soon, 20*time.Millisecond)
	return r
}

// ask is a client of one of the servers alone.
func (r *replicated) ask(s *testkit.Server) redis.UniversalClient {
	r.t.Helper()
	return connect(r.t, "redis://"+s.Addr)
}

// until waits for what a server says about its replication.
func (r *replicated) until(s *testkit.Server, says string) {
	r.t.Helper()
	rdb := r.ask(s)
	require.Eventually(r.t, func() bool {
		return strings.Contains(rdb.Info(r.t.Context(), "replication").Val(), says)
	}, soon, 20*time.Millisecond, says)
}

// catchUp returns when the replica has all that the master has accepted.
func (r *replicated) catchUp() {
	r.t.Helper()
	rdb := r.ask(r.master).(*redis.Client).Conn() // WAIT is about the writes of its own connection
	defer rdb.Close()
	require.NoError(r.t, rdb.Set(r.t.Context(), "marker", "caught up", 0).Err())
	require.EqualValues(r.t, 1, rdb.Wait(r.t.Context(), 1, soon).Val())
}

// cutOff keeps from the replica what the master accepts from now on.
func (r *replicated) cutOff() {
	r.t.Helper()
	rdb := r.ask(r.master)
	require.NoError(r.t, rdb.Do(r.t.Context(), "ACL", "SETUSER", "replica", "off").Err())
	require.NoError(r.t, rdb.Do(r.t.Context(), "CLIENT", "KILL", "TYPE", "replica").Err())
	r.until(r.replica, "master_link_status:down")
}
