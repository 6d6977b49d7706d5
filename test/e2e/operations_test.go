//go:build unix

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// piece is what stands in docs/operations.md to be copied, by its name behind the language.
func piece(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)\n```\\w+ "+name+"\n(.*?)```\n").FindAllStringSubmatch(string(text), -1)
	require.Len(t, found, 1, name)
	return found[0][1]
}

// types runs a piece in a shell, with some texts of it replaced.
func types(t *testing.T, dir, name string, replaced ...string) {
	t.Helper()
	for i := 0; i < len(replaced); i += 2 {
		require.Contains(t, piece(t, name), replaced[i])
	}
	script := strings.NewReplacer(replaced...).Replace(piece(t, name))
	ctx, cancel := context.WithTimeout(t.Context(), soon) // what waits for something may wait in vain
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-euc", script)
	shell.Dir, shell.WaitDelay = dir, time.Second
	said, err := shell.CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, said)
	require.NotContains(t, string(said), "ERR", script) // redis-cli ends well all the same
}

// has skips a test where a program is missing that people have.
func has(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("without %s", program)
		}
	}
}

// settings are the lines of a piece as arguments of a server, but for its ports.
func settings(t *testing.T, name string, replaced ...string) (args []string) {
	t.Helper()
	for line := range strings.Lines(strings.NewReplacer(replaced...).Replace(piece(t, name))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key != "port" && key != "tls-port" {
			args = append(args, "--"+key, value)
		}
	}
	return args
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func TestRedisAsOperationsSaysPleasesTheDoctor(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSiteAt(t, "redis://"+testkit.New(t, settings(t, "redis")...).Addr, nil, nil)
	c := s.doctor()
	for _, finding := range []string{"eviction", "persistence"} {
		require.Equal(t, "ok", c.level(finding), c)
	}
}

// secured is a folder with what the piece "ca" makes, and a password.
func secured(t *testing.T) (dir string) {
	t.Helper()
	has(t, "openssl")
	dir = t.TempDir()
	types(t, dir, "ca")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "redis.password"), []byte("geheim\n"), 0o600))
	return dir
}

// withUser are the arguments of a server for the user of the URLs.
func withUser(args []string) []string {
	return append(args, "--user", "default", "on", "nopass", "~*", "&*", "+@all", "--user", "refq", "on", ">geheim", "~*", "&*", "+@all")
}

func TestURLsOfOperationsLeadThroughMutualTLS(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 12)
	dir := secured(t)
	args := withUser(settings(t, "tls", "/etc/redis/tls", dir))
	urls := strings.Fields(piece(t, "urls"))
	require.Len(t, urls, 3)
	here := func(url, from string, server *testkit.Server) string {
		require.Contains(t, url, from)
		return strings.NewReplacer(from, server.Addr, "/etc/refq", dir).Replace(url)
	}

	single := testkit.New(t, args...)
	url := here(urls[0], "redis.example:6379", single)
	newSiteAt(t, url, nil, nil).callAndResult()
	without, _, _ := strings.Cut(url, "&tls_cert")
	refused := newSiteAt(t, without, nil, nil).refq("ls")
	require.Equal(t, 1, refused.exitCode())
	require.Contains(t, refused.stderr.String(), "certificate required")

	node := testkit.New(t, append(args, "--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-announce-ip", "127.0.0.1")...)
	rdb := connect(t, here(urls[0], "redis.example:6379", node))
	require.NoError(t, rdb.(*redis.Client).ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	require.Eventually(t, func() bool {
		return strings.Contains(rdb.(*redis.Client).ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	}, soon, 20*time.Millisecond)
	newSiteAt(t, here(urls[1], "redis.example:6379", node), nil, nil).callAndResult()

	file := filepath.Join(t.TempDir(), "sentinel.conf") // which the Sentinel writes, too
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "sentinel monitor main 127.0.0.1 %s 1\n", port(single.Addr)), 0o600))
	sentinel := testkit.New(t, append([]string{file, "--sentinel"}, settings(t, "tls", "/etc/redis/tls", dir)...)...)
	newSiteAt(t, here(urls[2], "redis.example:26379", sentinel), nil, nil).callAndResult()
}

// All certificates and the CA are replaced, as operations.md has it, while calls are made; none of them may fail.
func TestCertificatesAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	has(t, "redis-cli")
	testkit.Reserve(t, 3)
	old, next := secured(t), secured(t)
	theirs, ours := t.TempDir(), t.TempDir() // what the server reads, and what refq reads
	put := func(from string, names ...string) {
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join(from, name))
			require.NoError(t, err)
			for _, dir := range []string{theirs, ours} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name+".new"), text, 0o600))
				require.NoError(t, os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)))
			}
		}
	}
	both := t.TempDir()
	join := exec.Command("sh", "-c", `cat "$1/ca.crt" "$2/ca.crt" > ca.crt`, "sh", old, next)
	join.Dir = both
	require.NoError(t, join.Run())
	pairs := []string{"redis.crt", "redis.key", "refq.crt", "refq.key"}
	put(old, append(pairs, "ca.crt", "redis.password")...)
	server := testkit.New(t, withUser(settings(t, "tls", "/etc/redis/tls", theirs))...)
	url := strings.NewReplacer("redis.example:6379", server.Addr, "/etc/refq", ours).Replace(strings.Fields(piece(t, "urls"))[0])
	l, fn := newLabAt(t, url+"&conn_max_lifetime=500ms"), &counted{}
	l.worker(nil, fn.run)

	ctx, stop := context.WithCancel(t.Context())
	var made atomic.Int64
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for ctx.Err() == nil {
			in := fmt.Sprint("call ", made.Load())
			if res, err := producer.Call(t.Context(), l.p, l.work, in); err != nil || res.Status != refcache.Complete {
				failed <- fmt.Errorf("%s: %s %w", in, res.Status, err)
				return
			}
			made.Add(1)
		}
	}()
	goesOn := func() {
		t.Helper()
		// Files are looked at once a second, and connections live for half of one.
		enough, before := time.Now().Add(2*time.Second), made.Load()
		l.until("calls go on", func() bool { return time.Now().After(enough) && made.Load() > before+10 || len(failed) > 0 })
	}
	reread := func() {
		t.Helper()
		types(t, t.TempDir(), "reread", "/etc/redis/tls", theirs, "redis-cli", fmt.Sprintf(
			"redis-cli --tls -p %s --cacert %[2]s/ca.crt --cert %[2]s/refq.crt --key %[2]s/refq.key", port(server.Addr), ours))
	}
	goesOn()
	put(both, "ca.crt")
	reread()
	goesOn()
	put(next, pairs...)
	reread()
	goesOn()
	put(next, "ca.crt")
	reread()
	goesOn()
	stop()
	require.NoError(t, <-failed, "after %d calls", made.Load())
	t.Logf("%d calls", made.Load())

	stranger := newSiteAt(t, strings.ReplaceAll(url, ours, old), nil, nil).refq("ls")
	require.Equal(t, 1, stranger.exitCode(), "who kept the old files is out")
	require.Contains(t, stranger.stderr.String(), "certificate")
}

// endsOneAndLeavesOne makes a call that ends, and one that waits for a worker.
func (s *site) endsOneAndLeavesOne() (kept, pending refcache.Ref) {
	s.t.Helper()
	w := s.worker()
	call := s.call(`"kept"`)
	s.next().succeed("1")
	kept = call.answer(0).RefID
	w.kill()
	return kept, s.submit(`"pending"`)
}

// knowsAndGoesOn checks that the result of the first is there, and that a worker runs the second.
func (s *site) knowsAndGoesOn(kept, pending refcache.Ref) {
	s.t.Helper()
	require.Equal(s.t, "1\n", s.refq("result", string(kept)).stdout.String())
	waiter := s.wait(pending)
	s.worker()
	s.next().succeed("2")
	require.Equal(s.t, "2", string(waiter.answer(0).Value))
}

func TestABackupIsMadeAndRestored(t *testing.T) {
	t.Parallel()
	has(t, "redis-cli")
	testkit.Reserve(t, 8)
	data, backup := t.TempDir(), t.TempDir()
	server := testkit.NewIn(t, data, settings(t, "redis")...)
	rdb := connect(t, "redis://"+server.Addr)
	s := newSiteAt(t, "redis://"+server.Addr, nil, nil)
	kept, pending := s.endsOneAndLeavesOne()

	cli := "redis-cli -p " + port(server.Addr)
	types(t, data, "backup", "redis-cli", cli, "/var/lib/redis", data, "/srv/backup", backup)
	require.Equal(t, "100", rdb.ConfigGet(t.Context(), "auto-aof-rewrite-percentage").Val()["auto-aof-rewrite-percentage"])
	later := s.submit(`"later"`)
	require.NoError(t, rdb.FlushAll(t.Context()).Err()) // the accident
	server.Stop()

	types(t, data, "restore", "systemctl stop redis-server", ":", "systemctl start redis-server", ":", "refq doctor", ":",
		"/var/lib/redis", data, "/srv/backup", backup)
	server.Start()
	require.Contains(t, s.refq("status", string(later)).stderr.String(), "not found")
	s.knowsAndGoesOn(kept, pending)
	require.False(t, s.doctor().Wrong)
}

func TestCallsMoveToAnotherServer(t *testing.T) {
	t.Parallel()
	has(t, "redis-cli")
	testkit.Reserve(t, 8)
	args := append(settings(t, "redis"), "--repl-diskless-sync-delay", "0")
	old, next := testkit.New(t, args...), testkit.New(t, args...)
	s := newSiteAt(t, "redis://"+old.Addr, nil, nil)
	kept, pending := s.endsOneAndLeavesOne()

	types(t, s.dir, "move", "-h 10.0.0.8", "-p "+port(next.Addr), "-h 10.0.0.7", "-p "+port(old.Addr),
		"10.0.0.7 6379", "127.0.0.1 "+port(old.Addr), "10.0.0.8 6379", "127.0.0.1 "+port(next.Addr), "sleep 1", "sleep 0.1")
	require.Contains(t, connect(t, "redis://"+old.Addr).Info(t.Context(), "replication").Val(), "role:slave")
	s.redis = "redis://" + next.Addr
	s.knowsAndGoesOn(kept, pending)
}
