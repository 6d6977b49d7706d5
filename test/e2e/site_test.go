//go:build unix

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// keys are keys of config.yaml.
type keys map[string]any

// site is a folder with a config.yaml that declares one function, f, in a queue of its own; each execution of f appears
// on the stage.
type site struct {
	*stage
	t       *testing.T
	dir     string
	queue   string
	redis   string // URL, handed over as REFQ_REDIS
	program string // refq
	all     []*process
}

// newSite is a site on the Redis that tests share. The keys are those of f.
func newSite(t *testing.T, function keys) *site {
	t.Helper()
	return newSiteAt(t, sharedRedis(t), function, nil)
}

func sharedRedis(t *testing.T) string {
	t.Helper()
	return "redis://" + testkit.Start(t)
}

// newSiteAt is a site on another Redis, with global keys, too.
func newSiteAt(t *testing.T, redis string, function, global keys) *site {
	t.Helper()
	s := &site{stage: newStage(t), t: t, dir: t.TempDir(), redis: redis, program: testkit.Program(t), queue: "q" + strings.ToLower(rand.Text()[:10])}
	f := keys{
		"exec":  []string{testBinary(t)},
		"queue": s.queue,
		"env":   keys{stageVariable: s.listener.Addr().String(), "GORACE": strings.TrimPrefix(testkit.NoSleep, "GORACE=")},
	}
	maps.Copy(f, function)
	config := keys{"functions": keys{"f": f}}
	maps.Copy(config, global)
	text, err := json.MarshalIndent(config, "", "  ") // which is YAML, too
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "config.yaml"), text, 0o600))
	return s
}

func testBinary(t *testing.T) string {
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// start starts refq.
func (s *site) start(args ...string) *process {
	s.t.Helper()
	p := start(s.t, s.dir, []string{"REFQ_REDIS=" + s.redis, testkit.NoSleep}, s.program, args...)
	s.all = append(s.all, p)
	return p
}

// worker starts a worker and waits until it says that it is one.
func (s *site) worker() *process {
	s.t.Helper()
	w := s.start("worker")
	w.says("worker started")
	return w
}

// refq runs refq and returns when it has ended.
func (s *site) refq(args ...string) *process {
	s.t.Helper()
	p := s.start(args...)
	await(s.t, p.name+" exits", p.exited)
	return p
}

// answer is what refq prints with -o json about a call, in the format standard.
type answer struct {
	RefID      refcache.Ref    `json:"ref_id"`
	Status     refcache.Status `json:"status"`
	Value      json.RawMessage `json:"value"`
	Error      *string         `json:"error"`
	IsAsync    bool            `json:"is_async"`
	CanRetry   bool            `json:"can_retry"`
	Exhausted  bool            `json:"exhausted"`
	RetryCount int             `json:"retry_count"`
}

// answer waits for the end of the process, checks its exit code and reads its answer.
func (p *process) answer(code int) answer {
	p.t.Helper()
	require.Equal(p.t, code, p.exitCode(), &p.stderr)
	var a answer
	require.NoError(p.t, json.Unmarshal([]byte(p.stdout.String()), &a))
	return a
}

// call starts a process that makes the call f(args) and waits for its end.
func (s *site) call(args string, flags ...string) *process {
	s.t.Helper()
	return s.start(append([]string{"call", "f", args, "--wait", "60s", "-o", "json"}, flags...)...)
}

// submit makes the call f(args) without waiting.
func (s *site) submit(args string) refcache.Ref {
	s.t.Helper()
	return s.refq("call", "f", args, "--wait", "0", "-o", "json").answer(3).RefID
}

// wait starts a process that waits for the end of a call.
func (s *site) wait(ref refcache.Ref) *process {
	s.t.Helper()
	return s.start("wait", string(ref), "--timeout", "60s", "-o", "json")
}

// producer is one of a Go program.
func (s *site) producer() *producer.Producer {
	s.t.Helper()
	p := producer.New(connect(s.t, s.redis), producer.Config{})
	s.t.Cleanup(func() { _ = p.Close() })
	return p
}

func (s *site) admin() *admin.Admin {
	s.t.Helper()
	a := admin.New(connect(s.t, s.redis), admin.Config{})
	s.t.Cleanup(func() { _ = a.Close() })
	return a
}

func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := refq.Connect(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// info reads all that is known of a call.
func (s *site) info(ref refcache.Ref) refcache.TaskInfo {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	info, err := s.producer().Info(ctx, ref)
	require.NoError(s.t, err)
	return info
}
