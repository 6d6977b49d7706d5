package world

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Office is a World with a producer and an admin, who is ann@desk. A worker joins with [Office.Work].
type Office struct {
	*World
	P *producer.Producer
	A *admin.Admin
}

// InOffice is [In] for an Office.
func InOffice(t *testing.T, test func(*Office)) {
	t.Helper()
	In(t, func(w *World) {
		o := &Office{World: w, P: w.NewProducer(producer.Config{})}
		o.A = o.AdminAs("ann@desk")
		test(o)
	})
}

// AdminAs returns an admin in somebody's name.
func (o *Office) AdminAs(by string) *admin.Admin { return o.NewAdmin(admin.Config{By: by}) }

// Work runs a worker until the test ends.
func (o *Office) Work(register ...func(*worker.Worker)) {
	o.Start(worker.Config{Concurrency: 20, Logger: slog.New(slog.DiscardHandler)}, register...)
}

// Submit makes a call without waiting.
func (o *Office) Submit(f refcache.Func[string, string], in string, options ...producer.CallOption) refcache.Ref {
	o.Helper()
	ref, err := producer.Submit(o.Context(), o.P, f, in, options...)
	require.NoError(o, err)
	return ref
}

// Call makes a call and waits as its function says.
func (o *Office) Call(f refcache.Func[string, string], in string, options ...producer.CallOption) (refcache.Response[string], error) {
	return producer.Call(o.Context(), o.P, f, in, options...)
}

// WaitFor waits in the background for a call of [Echo], and sends what came of it.
func (o *Office) WaitFor(ref refcache.Ref) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := producer.Wait(o.Context(), o.P, Echo, ref)
		ended <- err
	}()
	return ended
}

// Told is an answer without what depends on who asked, and when.
func Told[Out any](r refcache.Response[Out]) refcache.Response[Out] {
	r.Age, r.Cache = nil, ""
	return r
}

// Info is the record of a call.
func (o *Office) Info(ref refcache.Ref) refcache.TaskInfo {
	o.Helper()
	info, err := o.P.Info(o.Context(), ref)
	require.NoError(o, err)
	return info
}

// Until waits up to a minute for a call to be in a status.
func (o *Office) Until(ref refcache.Ref, status refcache.Status) refcache.TaskInfo {
	o.Helper()
	return o.World.Until(o.P, ref, status)
}

// Cancelled makes calls, cancels them, and has their doorbells answered. Whoever makes one again gives the call a new life first,
// and then enqueues a doorbell: in two steps, where a call that nobody has made yet takes one.
func (o *Office) Cancelled(f refcache.Func[string, string], ins iter.Seq[string]) {
	o.Helper()
	for in := range ins {
		require.NoError(o, o.P.Cancel(o.Context(), o.Submit(f, in)))
	}
	require.NoError(o, o.Redis.Del(o.Context(), o.Redis.Keys(o.Context(), "asynq:{*").Val()...).Err())
}

// Echo is the function of most tests. A test that needs another policy changes a copy.
var Echo = refcache.Func[string, string]{Name: "echo", AsyncTimeout: time.Minute}

// ErrDown is what a service answers that is down.
var ErrDown = errors.New("service is down")

// Script answers attempt n with its n-th error, nil being success, and the last one from then on. It counts its runs.
type Script struct {
	Errs     []error
	Runs     atomic.Int32
	Hold     chan struct{} // if not nil, each attempt waits for a value or the end of its context
	Numbered bool          // the result tells the run that it is of
}

func (s *Script) run(ctx context.Context, in string) (string, error) {
	n := int(s.Runs.Add(1))
	if s.Hold != nil {
		select {
		case <-s.Hold:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	if len(s.Errs) > 0 {
		if err := s.Errs[min(n, len(s.Errs))-1]; err != nil {
			return "", err
		}
	}
	if s.Numbered {
		return fmt.Sprint(in, " ", n), nil
	}
	return in + "!", nil
}

// Of registers the script as the function f.
func (s *Script) Of(f refcache.Func[string, string]) func(*worker.Worker) {
	return func(w *worker.Worker) { worker.Handle(w, f, s.run) }
}

// Once is f without retries.
func Once(f refcache.Func[string, string]) refcache.Func[string, string] {
	f.Retry.MaxRetries = refcache.NoRetries
	return f
}

// TaskError is the TaskInfo that a call's error carries.
func TaskError(t require.TestingT, err error) refcache.TaskInfo {
	var failure *refcache.TaskError
	require.ErrorAs(t, err, &failure)
	return failure.Info
}
