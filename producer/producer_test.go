package producer_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// watched notes what is done to a client that somebody lent.
type watched struct {
	redis.UniversalClient
	hooks, closes atomic.Int32
}

func (c *watched) AddHook(h redis.Hook) {
	c.hooks.Add(1)
	c.UniversalClient.AddHook(h)
}

func (c *watched) Close() error {
	c.closes.Add(1)
	return c.UniversalClient.Close()
}

func TestProducerLeavesTheClientAsItIs(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		w.Work(s.Of(kit.Echo))
		lent := &watched{UniversalClient: w.Redis}
		p := producer.New(lent, producer.Config{})
		_, err := producer.Call(w.Context(), p, kit.Echo, "hi")
		require.NoError(w, err)
		require.NoError(w, p.Close())
		require.NoError(w, p.Close(), "closing twice does no harm")
		require.Zero(w, lent.hooks.Load())
		require.Zero(w, lent.closes.Load())
		require.NoError(w, lent.Ping(w.Context()).Err())
	})
}

func TestNewTalksToNobody(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			require.Fail(w, "unexpected command", "%q", cmd)
			return memredis.Pass
		})
		require.NoError(w, producer.New(w.Redis, producer.Config{}).Close())
	})
}

func TestEventsNameUserAndHostUnlessToldOtherwise(t *testing.T) {
	inOffice(t, func(w *office) {
		host, err := os.Hostname()
		require.NoError(w, err)
		ref := w.Submit(kit.Echo, "hi")
		require.NoError(w, w.NewProducer(producer.Config{}).Cancel(w.Context(), ref))
		by := w.Info(ref).Events[0].By
		require.True(w, strings.HasSuffix(by, "@"+host), by)
		require.NotEqual(w, "@"+host, by)
	})
}

func TestCallsFailFastWhileRedisIsAway(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "hi")
		w.Server.Close()
		for name, ask := range map[string]func() error{
			"submit ": func() error { _, err := producer.Submit(w.Context(), w.P, kit.Echo, "hi"); return err },
			"read ":   func() error { _, err := w.P.Info(w.Context(), ref); return err },
		} {
			began := time.Now()
			err := ask()
			require.ErrorContains(w, err, name+string(ref)+": ")
			require.ErrorContains(w, err, "connection refused")
			require.NotErrorIs(w, err, refcache.ErrNotQueued)
			require.Less(w, time.Since(began), 5*time.Second)
		}
		// The first call of a process also subscribes and notes its queue.
		began := time.Now()
		res, err := producer.Call(w.Context(), w.NewProducer(producer.Config{}), kit.Echo, "hi")
		require.ErrorContains(w, err, "submit "+string(ref)+": ")
		require.Equal(w, refcache.Response[string]{RefID: res.RefID}, res)
		require.NotEmpty(w, res.RefID)
		require.Less(w, time.Since(began), 5*time.Second)
	})
}

func TestCallThatLosesRedisWhileItWaitsSaysSo(t *testing.T) {
	inOffice(t, func(w *office) {
		f := kit.Echo
		f.AsyncTimeout = 3 * time.Second
		go func() {
			time.Sleep(time.Second)
			w.Server.Close()
		}()
		began := time.Now()
		res, err := w.Call(f, "hi")
		require.ErrorContains(w, err, "connection refused")
		require.Equal(w, refcache.Pending, res.Status, "as it was last seen")
		require.Less(w, time.Since(began), 7*time.Second, "what it wants to wait, and one poll")
	})
}

func TestFirstCallerWhoIsInAHurryDoesNotSpoilItForTheOthers(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		hurried, cancel := context.WithCancel(w.Context())
		cancel()
		_, err := producer.Call(hurried, w.P, kit.Echo, "hi")
		require.ErrorIs(w, err, context.Canceled)

		ended := w.WaitFor(w.Submit(kit.Echo, "hi"))
		time.Sleep(7*time.Second + 3*time.Millisecond)
		began := time.Now()
		s.Hold <- struct{}{}
		require.NoError(w, <-ended)
		require.Less(w, time.Since(began), 50*time.Millisecond, "told, not by looking")
	})
}

func TestResultOfAnotherTypeIsAnErrorBesideTheRest(t *testing.T) {
	inOffice(t, func(w *office) {
		type page struct {
			Title string
			Words int
		}
		pages := refcache.Func[string, page]{Name: "page", AsyncTimeout: time.Minute}
		w.Work(func(wk *worker.Worker) {
			worker.Handle(wk, pages, func(context.Context, string) (page, error) { return page{"refq", 7}, nil })
		})
		good, err := producer.Call(w.Context(), w.P, pages, "hi")
		require.NoError(w, err)

		type other struct {
			Title string
			Words []string
		}
		wrong := refcache.Func[string, other]{Name: "page"}
		res, err := producer.Get(w.Context(), w.P, wrong, good.RefID)
		require.ErrorContains(w, err, "result of "+string(good.RefID)+" does not fit producer_test.other: ")
		require.Zero(w, res.Value, "not half of it either")
		require.False(w, res.HasValue)
		require.Equal(w, refcache.Complete, res.Status)
		require.Equal(w, good.CompletedAt, res.CompletedAt)

		_, err = producer.Wait(w.Context(), w.P, wrong, good.RefID)
		require.ErrorContains(w, err, "does not fit")
		raw, err := w.P.Get(w.Context(), good.RefID)
		require.NoError(w, err)
		require.JSONEq(w, `{"Title":"refq","Words":7}`, string(raw.Value))
	})
}

func TestMessageTellsTheState(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil, worker.Permanent(kit.ErrDown)}, Hold: make(chan struct{})}
		message := func(ref refcache.Ref, status refcache.Status) string {
			w.Helper()
			w.Until(ref, status)
			res, err := w.P.Get(w.Context(), ref)
			require.NoError(w, err)
			return res.Message
		}
		ref := w.Submit(kit.Echo, "hi")
		require.Equal(w, "waits for a worker", message(ref, refcache.Pending))
		w.Work(s.Of(kit.Echo))
		require.Equal(w, "attempt 1 is running", message(ref, refcache.Processing))
		s.Hold <- struct{}{}
		require.Equal(w, "attempt 1 failed, retry 1 of 3 follows", message(ref, refcache.Retrying))
		s.Hold <- struct{}{}
		require.Equal(w, "complete", message(ref, refcache.Complete))

		budget := w.Submit(kit.Echo, "ho")
		s.Hold <- struct{}{}
		require.Equal(w, "failed 0s ago, 3 of 3 retries left; --retry-failed runs it anew", message(budget, refcache.Failed))
		exhausted := w.Submit(kit.Once(kit.Echo), "hu")
		s.Hold <- struct{}{}
		require.Equal(w, "failed 0s ago, no retries left; --retry-failed runs it anew", message(exhausted, refcache.Failed))
		cancelled := w.Submit(kit.Echo, "ha")
		require.NoError(w, w.P.Cancel(w.Context(), cancelled))
		require.Equal(w, "cancelled", message(cancelled, refcache.Cancelled))
	})
}
