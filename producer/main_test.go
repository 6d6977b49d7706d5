package producer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// world has a producer and an admin on the clock of a bubble; a worker joins with start.
type world struct {
	*kit.World
	server *memredis.Server
	rdb    redis.UniversalClient
	p      *producer.Producer
	a      *admin.Admin
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	kit.In(t, func(k *kit.World) {
		w := &world{World: k, server: k.Server, rdb: k.Redis, p: k.NewProducer(producer.Config{})}
		w.a = w.admin("ann@desk")
		test(w)
	})
}

func (w *world) client() redis.UniversalClient { return w.Client() }

func (w *world) producer(c producer.Config) *producer.Producer { return w.NewProducer(c) }

// admin returns an admin in somebody's name.
func (w *world) admin(by string) *admin.Admin {
	return w.NewAdmin(admin.Config{By: by})
}

// start runs a worker until the test ends.
func (w *world) start(register ...func(*worker.Worker)) {
	w.Start(worker.Config{Concurrency: 20, Logger: slog.New(slog.DiscardHandler)}, register...)
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
		require.NoError(w, w.p.Cancel(w.Context(), w.submit(f, in)))
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
	return w.Until(w.p, ref, status)
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
