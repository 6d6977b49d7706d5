//go:build unix

package e2e

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// lab has workers and producers in this process, each with a way of its own to a real Redis: what is lost there is one
// certain message.
type lab struct {
	*testing.T
	redis string // URL
	work  refcache.Func[string, string]
	cycle int // that a call made now has

	// On a way where nothing is lost:
	rdb redis.UniversalClient
	p   *producer.Producer
}

// newLab is a lab on the Redis that tests share, which has met the scripts of a call: were they met during a test, it
// would be anybody's guess whether an EVALSHA runs one.
func newLab(t *testing.T) *lab {
	t.Helper()
	meetScripts.Do(func() {
		l, fn := newLabAt(t, sharedRedis(t)), &counted{}
		l.worker(nil, fn.run)
		l.becomes(l.submit(l.p, "in"), refcache.Complete)
		l.silent()
	})
	return newLabAt(t, sharedRedis(t))
}

var meetScripts sync.Once

func newLabAt(t *testing.T, url string) *lab {
	t.Helper()
	l := &lab{T: t, redis: url, cycle: 1, rdb: connect(t, url)}
	l.work = refcache.Func[string, string]{Name: "work", Queue: "q" + strings.ToLower(rand.Text()[:10]), AsyncTimeout: soon}
	l.p = l.producer(nil)
	return l
}

// url is that of Redis by that way; nil is the way where nothing is lost.
func (l *lab) url(way *netproxy.Proxy) string {
	if way == nil {
		return l.redis
	}
	return "redis://" + way.Addr()
}

func (l *lab) way() *netproxy.Proxy {
	l.Helper()
	return newProxy(l.T, l.redis)
}

func (l *lab) producer(way *netproxy.Proxy) *producer.Producer {
	l.Helper()
	p := producer.New(connect(l.T, l.url(way)), producer.Config{})
	l.Cleanup(func() { _ = p.Close() })
	return p
}

func (l *lab) admin() *admin.Admin {
	l.Helper()
	a := admin.New(connect(l.T, l.redis), admin.Config{})
	l.Cleanup(func() { _ = a.Close() })
	return a
}

const labConcurrency = 50

// worker runs a worker until the test ends, and tells what it logs.
func (l *lab) worker(way *netproxy.Proxy, fn func(ctx context.Context, in string) (string, error)) (log *output) {
	l.Helper()
	return l.starts(connect(l.T, l.url(way)), labConcurrency, handles(l.work, fn))
}

func handles[In, Out any](f refcache.Func[In, Out], fn func(context.Context, In) (Out, error)) func(*worker.Worker) {
	return func(w *worker.Worker) { worker.Handle(w, f, fn) }
}

// starts is worker for other functions, and for one with a client of its own.
func (l *lab) starts(rdb redis.UniversalClient, concurrency int, register ...func(*worker.Worker)) (log *output) {
	l.Helper()
	log = &output{}
	w := worker.New(rdb, worker.Config{
		Concurrency: concurrency, ShutdownTimeout: -1, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	for _, handle := range register {
		handle(w)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	l.Cleanup(func() {
		stop()
		<-ended // it may have had to leave attempts behind
		if l.Failed() {
			l.Logf("worker: %s", log)
		}
	})
	return log
}

func (l *lab) submit(p *producer.Producer, in string) refcache.Ref {
	l.Helper()
	ref, err := producer.Submit(l.Context(), p, l.work, in)
	require.NoError(l, err)
	return ref
}

// cancelled makes a call and cancels it. Whoever makes it again gives the task a new life first, and then rings for it: in
// two steps, where a call that nobody has made yet takes one.
func (l *lab) cancelled(in string) {
	l.Helper()
	require.NoError(l, l.p.Cancel(l.Context(), l.submit(l.p, in)))
	l.cycle++
}

func (l *lab) info(ref refcache.Ref) refcache.TaskInfo {
	l.Helper()
	info, err := l.p.Info(l.Context(), ref)
	require.NoError(l, err)
	return info
}

// becomes waits until the task is in the status.
func (l *lab) becomes(ref refcache.Ref, status refcache.Status) refcache.TaskInfo {
	l.Helper()
	l.until("the task is "+string(status), func() bool { return l.info(ref).Status == status })
	return l.info(ref)
}

func (l *lab) until(what string, holds func() bool) {
	l.Helper()
	require.Eventually(l, holds, soon, 5*time.Millisecond, "until %s", what)
}

// doorbells is how many asynq holds in a state: active, pending, retry or scheduled.
func (l *lab) doorbells(state string) int {
	l.Helper()
	key := "asynq:{" + l.work.Queue + "}:" + state
	if state == "active" || state == "pending" {
		return int(l.rdb.LLen(l.Context(), key).Val())
	}
	return int(l.rdb.ZCard(l.Context(), key).Val())
}

// silent waits until asynq holds no doorbell that may still ring: nothing more will happen to any task.
func (l *lab) silent() {
	l.Helper()
	l.until("no doorbell is left", func() bool {
		return l.doorbells("pending")+l.doorbells("active")+l.doorbells("retry")+l.doorbells("scheduled") == 0
	})
}

// ages makes asynq take the worker that holds the task's first doorbell for dead, at its next look: at the start of a
// worker.
func (l *lab) ages(ref refcache.Ref) {
	l.Helper()
	age(l.T, l.rdb, ref)
}

func age(t *testing.T, rdb redis.UniversalClient, ref refcache.Ref) {
	t.Helper()
	lease := redis.Z{Score: float64(time.Now().Add(-time.Minute).Unix()), Member: string(ref)}
	leases := "asynq:{" + ref.Queue() + "}:lease"
	changed := rdb.ZAddArgs(t.Context(), leases, redis.ZAddArgs{XX: true, Ch: true, Members: []redis.Z{lease}})
	require.EqualValues(t, 1, changed.Val(), changed.Err())
}

// loses has a fault befall the first times runs of a script that come that way, and counts all of them.
func (l *lab) loses(way *netproxy.Proxy, times int64, script string, fault netproxy.Fault) *atomic.Int64 {
	var count atomic.Int64
	way.SetFaults(func(cmd []string) netproxy.Fault {
		if scriptOf(l.rdb, cmd) == script && count.Add(1) <= times {
			return fault
		}
		return netproxy.Pass
	})
	return &count
}

// scriptOf names the script that a command runs, if it is one of the store's, or one of asynq's that tests know. An EVALSHA of
// a script that Redis has not met runs nothing.
func scriptOf(rdb redis.UniversalClient, cmd []string) string {
	var hash string
	switch cmd[0] {
	case "EVAL":
		hash = redis.NewScript(cmd[1]).Hash()
	case "EVALSHA":
		hash = cmd[1]
		if met := rdb.ScriptExists(context.Background(), hash).Val(); !slices.Contains(met, true) {
			return ""
		}
	default:
		return ""
	}
	if name := store.ScriptName(hash); name != "" {
		return name
	}
	n, err := strconv.Atoi(cmd[2])
	if err != nil || len(cmd) < 3+n {
		return ""
	}
	return asynqScript(cmd[3 : 3+n])
}

// asynqScript names a script of asynq's by its keys.
func asynqScript(keys []string) string {
	has := func(suffix string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, suffix) })
	}
	switch {
	case len(keys) == 0 || !strings.HasPrefix(keys[0], "asynq:"):
		return ""
	case has("}:active") && has("}:lease"):
		return "ack"
	case len(keys) == 2 && has("}:pending"):
		return "enqueue"
	}
	return ""
}

// counted is a function that counts its executions for each argument, and answers "did " and the argument.
type counted struct {
	mu   sync.Mutex
	runs map[string]int
}

func (c *counted) run(_ context.Context, in string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs == nil {
		c.runs = map[string]int{}
	}
	c.runs[in]++
	return "did " + in, nil
}

func (c *counted) count(in string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[in]
}

// waiters are the inboxes that the record at a key tells of its end.
func waiters(t require.TestingT, rdb redis.Cmdable, key string) string {
	record, err := storetest.Read(context.Background(), rdb, key)
	require.NoError(t, err)
	return record["waiters"]
}
