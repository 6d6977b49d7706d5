package admin_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// world is a Redis, a producer and an admin on the clock of a bubble; a worker joins with start.
type world struct {
	*testing.T
	server *memredis.Server
	rdb    redis.UniversalClient
	p      *producer.Producer
	a      *admin.Admin
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // last of all: go-redis's goroutines end after Close, in their own time
		server, err := memredis.New()
		require.NoError(t, err)
		t.Cleanup(server.Close)
		w := &world{T: t, server: server}
		w.rdb = w.client()
		w.p = w.producer(producer.Config{})
		w.a = w.admin("ann@desk")
		test(w)
	})
}

func (w *world) client() redis.UniversalClient {
	rdb := w.server.Client()
	w.Cleanup(func() { require.NoError(w, rdb.Close()) })
	return rdb
}

func (w *world) producer(c producer.Config) *producer.Producer {
	p := producer.New(w.client(), c)
	w.Cleanup(func() { require.NoError(w, p.Close()) })
	return p
}

// admin returns an admin in somebody's name.
func (w *world) admin(by string) *admin.Admin {
	a := admin.New(w.client(), admin.Config{By: by})
	w.Cleanup(func() { require.NoError(w, a.Close()) })
	return a
}

// start runs a worker until the test ends.
func (w *world) start(register ...func(*worker.Worker)) {
	wk := worker.New(w.client(), worker.Config{Concurrency: 20, Logger: slog.New(slog.DiscardHandler)})
	for _, r := range register {
		r(wk)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() { ended <- wk.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		require.NoError(w, <-ended)
	})
}

// echo is the function of most tests; a test that needs another policy changes a copy.
var echo = refcache.Func[string, string]{Name: "echo", AsyncTimeout: time.Minute}

var errDown = errors.New("service is down")

// script answers attempt n with its n-th error, nil being success, and the last one from then on. It counts its runs.
type script struct {
	errs     []error
	runs     atomic.Int32
	hold     chan struct{} // if not nil, each attempt waits for a value or the end of its context
	numbered bool          // the result tells the run that it is of
}

func (s *script) run(ctx context.Context, in string) (string, error) {
	n := int(s.runs.Add(1))
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	if len(s.errs) > 0 {
		if err := s.errs[min(n, len(s.errs))-1]; err != nil {
			return "", err
		}
	}
	if s.numbered {
		return fmt.Sprint(in, " ", n), nil
	}
	return in + "!", nil
}

func (s *script) of(f refcache.Func[string, string]) func(*worker.Worker) {
	return func(w *worker.Worker) { worker.Handle(w, f, s.run) }
}

func (w *world) submit(f refcache.Func[string, string], in string, options ...producer.CallOption) refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, f, in, options...)
	require.NoError(w, err)
	return ref
}

// cancelled makes calls, cancels them, and has their doorbells answered. Whoever makes one again gives the task a new life
// first, and then rings for it: in two steps, where a call that nobody has made yet takes one.
func (w *world) cancelled(f refcache.Func[string, string], ins iter.Seq[string]) {
	w.Helper()
	for in := range ins {
		require.NoError(w, w.a.Cancel(w.Context(), w.submit(f, in)))
	}
	require.NoError(w, w.rdb.Del(w.Context(), w.rdb.Keys(w.Context(), "asynq:{*").Val()...).Err())
}

func (w *world) info(ref refcache.Ref) refcache.TaskInfo {
	w.Helper()
	info, err := w.p.Info(w.Context(), ref)
	require.NoError(w, err)
	return info
}

// until waits up to a minute for the task to be in the status.
func (w *world) until(ref refcache.Ref, status refcache.Status) refcache.TaskInfo {
	w.Helper()
	for range 1200 {
		if info := w.info(ref); info.Status == status {
			return info
		}
		time.Sleep(50 * time.Millisecond)
	}
	require.FailNow(w, "task did not get there", "%s is not %s but %s", ref, status, w.info(ref).Status)
	panic("unreachable")
}

func (w *world) call(f refcache.Func[string, string], in string, options ...producer.CallOption) (refcache.Response[string], error) {
	return producer.Call(w.Context(), w.p, f, in, options...)
}

// waitFor waits in the background and sends what came of it.
func (w *world) waitFor(ref refcache.Ref) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := producer.Wait(w.Context(), w.p, echo, ref)
		ended <- err
	}()
	return ended
}

// once is f without retries.
func once(f refcache.Func[string, string]) refcache.Func[string, string] {
	f.Retry.MaxRetries = refcache.NoRetries
	return f
}

// taskError returns the TaskInfo that a call's error carries.
func taskError(t require.TestingT, err error) refcache.TaskInfo {
	var failure *refcache.TaskError
	require.ErrorAs(t, err, &failure)
	return failure.Info
}

// isEnqueue tells asynq's enqueue, run by itself, by its keys.
func isEnqueue(cmd []string) bool {
	return strings.HasPrefix(cmd[0], "EVAL") && strings.HasPrefix(cmd[3], "asynq:{default}:t:") && cmd[4] == "asynq:{default}:pending"
}
