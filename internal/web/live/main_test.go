package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	goleak.VerifyTestMain(m)
}

// quiet keeps what the client logs about refused connections out of the tests' output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

type raw = json.RawMessage

// world is a producer, an admin and their Redis, on the clock of a bubble.
type world struct {
	*testing.T
	redis *memredis.Server
	p     *producer.Producer
	a     *admin.Admin
	calls *live.Calls
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // last of all: go-redis's goroutines end after Close, in their own time
		server, err := memredis.New()
		require.NoError(t, err)
		t.Cleanup(server.Close)
		rdb := server.Client()
		t.Cleanup(func() { require.NoError(t, rdb.Close()) })
		w := &world{T: t, redis: server, p: producer.New(rdb, producer.Config{}), a: admin.New(rdb, admin.Config{})}
		t.Cleanup(func() { require.NoError(t, w.p.Close()) })
		t.Cleanup(func() { require.NoError(t, w.a.Close()) })
		w.calls = live.NewCalls(w.p)
		test(w)
		require.Zero(t, w.calls.Watched(), "nobody watches, and nothing is followed")
	})
}

var function = refcache.Func[raw, raw]{Name: "f", Retry: refcache.RetryPolicy{MaxRetries: refcache.NoRetries}}

// work runs a worker whose function does what the test says, until the test ends.
func (w *world) work(f func(context.Context) error) {
	rdb := w.redis.Client()
	wk := worker.New(rdb, worker.Config{Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: -1})
	worker.Handle(wk, function, func(ctx context.Context, in raw) (raw, error) { return in, f(ctx) })
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- wk.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		require.NoError(w, <-done)
		require.NoError(w, rdb.Close())
	})
}

func (w *world) submit() refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, function, raw("1"))
	require.NoError(w, err)
	return ref
}

// next returns what a viewer sees next, and how long that took.
func (w *world) next(v *live.Viewer[live.Call]) (live.Call, time.Duration) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	call, err := v.Next(ctx)
	require.NoError(w, err)
	return call, time.Since(start)
}

// until looks on until a call is in a status.
func (w *world) until(v *live.Viewer[live.Call], status refcache.Status) live.Call {
	w.Helper()
	for {
		call, _ := w.next(v)
		if call.Status == status {
			return call
		}
	}
}

// countSent counts the commands that are sent to Redis from now on, and the subscriptions among them.
func (w *world) countSent() (commands, subscriptions *atomic.Int64) {
	commands, subscriptions = new(atomic.Int64), new(atomic.Int64)
	w.redis.SetFaults(func(cmd []string) memredis.Fault {
		commands.Add(1)
		if strings.HasSuffix(cmd[0], "SUBSCRIBE") {
			subscriptions.Add(1)
		}
		return memredis.Pass
	})
	return commands, subscriptions
}

var errDown = errors.New("down")
