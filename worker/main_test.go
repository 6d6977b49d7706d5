package worker_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
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

// world is a Redis and a producer on the clock of a bubble.
type world struct {
	*testing.T
	*wire
	server *memredis.Server
	rdb    redis.UniversalClient
	p      *producer.Producer
	a      *admin.Admin
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Minute) }) // last of all: what ignores its context returns
		server, err := memredis.New()
		require.NoError(t, err)
		t.Cleanup(server.Close)
		rdb := server.Client()
		t.Cleanup(func() { require.NoError(t, rdb.Close()) })
		p, a := producer.New(rdb, producer.Config{}), admin.New(rdb, admin.Config{By: "ann@desk"})
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		t.Cleanup(func() { require.NoError(t, a.Close()) })
		wire := &wire{}
		server.SetFaults(wire.pass)
		test(&world{t, wire, server, rdb, p, a})
	})
}

// host is a computer with a network cable and a worker.
type host struct {
	rdb  redis.UniversalClient
	stop func() // the worker, gracefully, once

	leaves    bool // the test expects that it cannot hand back all of its attempts
	impatient bool // its client sends nothing twice

	lagging   atomic.Int64 // nanoseconds
	mu        sync.Mutex
	unplugged bool
	conns     map[net.Conn]bool
}

// lag has everything that comes from Redis arrive so much later.
func (h *host) lag(by time.Duration) { h.lagging.Store(int64(by)) }

// cable is a connection of a host.
type cable struct {
	net.Conn
	host *host
}

func (c *cable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	time.Sleep(time.Duration(c.host.lagging.Load()))
	return n, err
}

// start runs a worker on a host of its own until the test ends.
func (w *world) start(c worker.Config, register ...func(*worker.Worker)) *host {
	w.Helper()
	return w.startOn(&host{}, c, register)
}

// unplugged is start, but the host's cable is still to be plugged in.
func (w *world) unplugged(c worker.Config, register ...func(*worker.Worker)) *host {
	w.Helper()
	return w.startOn(&host{unplugged: true}, c, register)
}

func (w *world) startOn(h *host, c worker.Config, register []func(*worker.Worker)) *host {
	w.Helper()
	h.conns = map[net.Conn]bool{}
	model := w.server.Client()
	defer model.Close()
	options := *model.(*redis.Client).Options()
	if h.impatient {
		options.MaxRetries = -1
	}
	h.rdb = redis.NewClient(h.plugged(options))
	w.Cleanup(func() { _ = h.rdb.Close() }) // some tests have closed it

	c.Logger = loggerOr(c.Logger, w.T)
	worker := worker.New(h.rdb, c)
	for _, handle := range register {
		handle(worker)
	}
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		err := <-ended
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.leaves && err == nil || err != nil && !h.leaves && !h.unplugged {
			w.Errorf("stopping the worker: %v", err)
		}
	})
	w.Cleanup(h.stop)
	return h
}

// plugged makes connections go through the host's cable.
func (h *host) plugged(o redis.Options) *redis.Options {
	dial := o.Dialer
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.unplugged {
			return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn = &cable{conn, h}
		h.conns[conn] = true
		return conn, nil
	}
	return &o
}

// unplug cuts the host off from Redis, as its death would.
func (h *host) unplug() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unplugged = true
	for conn := range h.conns {
		conn.Close()
	}
	clear(h.conns)
}

func (h *host) plug() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unplugged = false
}

// handles registers fn for f.
func handles[In, Out any](f refcache.Func[In, Out], fn func(context.Context, In) (Out, error)) func(*worker.Worker) {
	return func(w *worker.Worker) { worker.Handle(w, f, fn) }
}

// work is the function of most tests; a test that needs another policy changes a copy.
var work = refcache.Func[string, string]{Name: "work", AsyncTimeout: time.Minute}

// errDown is what functions fail with.
var errDown = errors.New("service is down")

// runs is a function that notes when each of its attempts starts; attempt counts from 1.
type runs struct {
	mu     sync.Mutex
	starts []time.Time
	fn     func(ctx context.Context, attempt int) (string, error)
}

func (r *runs) run(ctx context.Context, _ string) (string, error) {
	r.mu.Lock()
	r.starts = append(r.starts, time.Now())
	n := len(r.starts)
	r.mu.Unlock()
	return r.fn(ctx, n)
}

func (r *runs) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.starts)
}

// at is when attempt n started, 1 first.
func (r *runs) at(n int) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starts[n-1]
}

// gaps are the times between the starts.
func (r *runs) gaps() []time.Duration {
	var gaps []time.Duration
	for n := 2; n <= r.count(); n++ {
		gaps = append(gaps, r.at(n).Sub(r.at(n-1)))
	}
	return gaps
}

// failing fails its first n attempts.
func failing(n int) *runs {
	return &runs{fn: func(_ context.Context, attempt int) (string, error) {
		if attempt <= n {
			return "", errDown
		}
		return "done", nil
	}}
}

// untilEnd blocks until its context ends and says why that was.
func untilEnd(ctx context.Context, _ int) (string, error) {
	<-ctx.Done()
	return "", context.Cause(ctx)
}

func (w *world) call(f refcache.Func[string, string], in string, options ...producer.CallOption) (refcache.Response[string], error) {
	return producer.Call(w.Context(), w.p, f, in, options...)
}

// submit makes a call that must be accepted.
func (w *world) submit(f refcache.Func[string, string], in string) refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, f, in)
	require.NoError(w, err)
	return ref
}

// cancelled makes a call and cancels it. Whoever makes it again gives the task a new life first, and then rings for it: in
// two steps, where a call that nobody has made yet takes one.
func (w *world) cancelled(f refcache.Func[string, string], in string) {
	w.Helper()
	require.NoError(w, w.p.Cancel(w.Context(), w.submit(f, in)))
}

func (w *world) info(ref refcache.Ref) refcache.TaskInfo {
	w.Helper()
	info, err := w.p.Info(w.Context(), ref)
	require.NoError(w, err)
	return info
}

// await waits up to a minute until the task is in the status.
func (w *world) await(ref refcache.Ref, status refcache.Status) refcache.TaskInfo {
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

// failed returns the TaskInfo that a call's error carries.
func failed(t require.TestingT, err error) refcache.TaskInfo {
	var failure *refcache.TaskError
	require.ErrorAs(t, err, &failure)
	return failure.Info
}

// wait blocks until the task ends.
func producerWait(w *world, f refcache.Func[string, string], ref refcache.Ref) (string, error) {
	res, err := producer.Wait(w.Context(), w.p, f, ref)
	return res.Value, err
}

func getAs(w *world, ref refcache.Ref) (refcache.Response[string], error) {
	return producer.Get(w.Context(), w.p, work, ref)
}
