package worker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// house is a world with a producer, and a wire that looks at what goes to its Redis.
type house struct {
	*world.World
	*wire
	p *producer.Producer
	a *admin.Admin
}

func inHouse(t *testing.T, test func(w *house)) {
	t.Helper()
	world.In(t, func(w *world.World) {
		wire := &wire{}
		w.Server.SetFaults(wire.pass)
		test(&house{w, wire, w.NewProducer(producer.Config{}), w.NewAdmin(admin.Config{By: "ann@desk"})})
	})
}

// unplugged starts a worker on a host whose cable is still to be plugged in.
func (w *house) unplugged(c worker.Config, register ...func(*worker.Worker)) *world.Host {
	w.Helper()
	h := &world.Host{}
	h.Unplug()
	w.StartOn(h, c, register...)
	return h
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

func (w *house) call(f refcache.Func[string, string], in string, options ...producer.CallOption) (refcache.Response[string], error) {
	return producer.Call(w.Context(), w.p, f, in, options...)
}

// submit makes a call that must be accepted.
func (w *house) submit(f refcache.Func[string, string], in string) refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, f, in)
	require.NoError(w, err)
	return ref
}

// cancelled makes a call and cancels it. Whoever makes it again gives the task a new life first, and then rings for it: in
// two steps, where a call that nobody has made yet takes one.
func (w *house) cancelled(f refcache.Func[string, string], in string) {
	w.Helper()
	require.NoError(w, w.p.Cancel(w.Context(), w.submit(f, in)))
}

func (w *house) info(ref refcache.Ref) refcache.TaskInfo {
	w.Helper()
	info, err := w.p.Info(w.Context(), ref)
	require.NoError(w, err)
	return info
}

// await waits up to a minute until the task is in the status.
func (w *house) await(ref refcache.Ref, status refcache.Status) refcache.TaskInfo {
	w.Helper()
	return w.Until(w.p, ref, status)
}

// failed returns the TaskInfo that a call's error carries.
func failed(t require.TestingT, err error) refcache.TaskInfo {
	var failure *refcache.TaskError
	require.ErrorAs(t, err, &failure)
	return failure.Info
}

// wait blocks until the task ends.
func producerWait(w *house, f refcache.Func[string, string], ref refcache.Ref) (string, error) {
	res, err := producer.Wait(w.Context(), w.p, f, ref)
	return res.Value, err
}

func getAs(w *house, ref refcache.Ref) (refcache.Response[string], error) {
	return producer.Get(w.Context(), w.p, work, ref)
}
