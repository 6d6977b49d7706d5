package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// site is a call to a host for a tenant.
type site struct {
	Host, Tenant string
	N            int
}

// visits is a function that is called in turn.
func visits(g refcache.Gate) refcache.Func[site, string] {
	g.Name = "sites"
	return refcache.Func[site, string]{Name: "visit", AsyncTimeout: time.Minute, Gate: g,
		Turn: func(s site) refcache.Turn { return refcache.Turn{Key: s.Host, Share: s.Tenant} }}
}

// gated notes how its calls run.
type gated struct {
	mu      sync.Mutex
	running map[string]int // by host
	most    map[string]int // that ran at a time
	starts  []time.Time
	order   []site
	takes   time.Duration
	fails   func(s site, start int) error
}

func newGated(takes time.Duration) *gated {
	return &gated{running: map[string]int{}, most: map[string]int{}, takes: takes}
}

func (g *gated) run(ctx context.Context, s site) (string, error) {
	g.mu.Lock()
	g.running[s.Host]++
	g.most[s.Host] = max(g.most[s.Host], g.running[s.Host])
	g.starts, g.order = append(g.starts, time.Now()), append(g.order, s)
	n := len(g.starts)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.running[s.Host]--
		g.mu.Unlock()
	}()
	select {
	case <-time.After(g.takes):
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if g.fails != nil {
		return "", g.fails(s, n)
	}
	return s.Host, nil
}

func (w *house) visit(f refcache.Func[site, string], s site) refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, f, s)
	require.NoError(w, err)
	return ref
}

// awaitAll waits until all calls are complete.
func (w *house) awaitAll(refs []refcache.Ref) {
	w.Helper()
	for _, ref := range refs {
		w.await(ref, refcache.Complete)
	}
}

func handles(f refcache.Func[site, string], g *gated) func(*worker.Worker) {
	return func(w *worker.Worker) { worker.Handle(w, f, g.run) }
}

func TestOfAHostNoMoreRunThanMay(t *testing.T) {
	inHouse(t, func(w *house) {
		f, g := visits(refcache.Gate{Each: 2}), newGated(100*time.Millisecond)
		w.Start(worker.Config{Concurrency: 8}, handles(f, g))
		w.Start(worker.Config{Concurrency: 8}, handles(f, g))
		start := time.Now()
		var refs []refcache.Ref
		for n := range 40 {
			refs = append(refs, w.visit(f, site{Host: fmt.Sprint("host", n%2), N: n}))
		}
		w.awaitAll(refs)
		require.Equal(w, map[string]int{"host0": 2, "host1": 2}, g.most)
		require.Less(w, time.Since(start), 2*time.Second, "20 calls of each host, 2 at a time, take one second")
	})
}

func TestACallBehindOthersSaysWhereItStands(t *testing.T) {
	inHouse(t, func(w *house) {
		f, g := visits(refcache.Gate{Each: 1}), newGated(time.Hour)
		w.Start(worker.Config{}, handles(f, g))
		w.visit(f, site{Host: "a.example"})
		time.Sleep(time.Second)
		w.visit(f, site{Host: "a.example", N: 1})
		last := w.visit(f, site{Host: "a.example", N: 2})
		time.Sleep(time.Second)
		info := w.info(last)
		require.Equal(w, refcache.Waiting, info.Status)
		require.Equal(w, refcache.WaitsTurn, info.WaitsFor)
		require.Contains(w, info.Note, " of key a.example, 1 of 1 running")
		response, err := producer.Get(w.Context(), w.p, f, last)
		require.NoError(w, err)
		require.Equal(w, info.Note, response.Message)
	})
}

func TestATenantDoesNotWaitForAnothersBacklog(t *testing.T) {
	inHouse(t, func(w *house) {
		f, g := visits(refcache.Gate{All: refcache.Slots}), newGated(400*time.Millisecond)
		w.Start(worker.Config{Concurrency: 4}, handles(f, g))
		time.Sleep(6 * time.Second) // until the slots are counted
		for n := range 60 {
			w.visit(f, site{Host: "h", Tenant: "a", N: n})
		}
		time.Sleep(time.Second)
		start := time.Now()
		w.await(w.visit(f, site{Host: "h", Tenant: "b"}), refcache.Complete)
		require.Less(w, time.Since(start), 3*g.takes, "one call ends, one is under way, and its own")
	})
}

func TestRatesAreKept(t *testing.T) {
	for rate, limit := range map[int]time.Duration{5: 20 * time.Second, 20: 10 * time.Second} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			inHouse(t, func(w *house) {
				f, g := visits(refcache.Gate{Rate: refcache.Rate{N: rate}}), newGated(0)
				w.Start(worker.Config{Concurrency: 8}, handles(f, g))
				time.Sleep(6 * time.Second)
				most := rate * int(limit/time.Second)
				for n := range most + rate {
					w.visit(f, site{Host: "h", N: n})
				}
				time.Sleep(limit)
				g.mu.Lock()
				defer g.mu.Unlock()
				within := slices.IndexFunc(g.starts, func(at time.Time) bool { return at.After(g.starts[0].Add(limit)) })
				if within < 0 {
					within = len(g.starts)
				}
				require.LessOrEqual(w, within, most+1)
				require.GreaterOrEqual(w, within, most*98/100)
			})
		})
	}
}

func TestWhatIsUnavailableCostsNoRetry(t *testing.T) {
	inHouse(t, func(w *house) {
		f, g := visits(refcache.Gate{Each: 1}), newGated(0)
		f.Retry.MaxRetries = refcache.NoRetries
		g.fails = func(_ site, start int) error {
			if start <= 50 {
				return worker.Unavailable(errDown, time.Second)
			}
			return nil
		}
		w.Start(worker.Config{}, handles(f, g))
		ref := w.visit(f, site{Host: "h"})
		info := w.await(ref, refcache.Complete)
		require.Zero(w, info.RetryCount)
		require.Len(w, g.starts, 51)
		for n, gap := range gapsOf(g.starts) {
			require.GreaterOrEqual(w, gap, time.Second, "start %d", n+2)
			require.Less(w, gap, 2500*time.Millisecond, "start %d", n+2)
		}
	})
}

func gapsOf(starts []time.Time) (gaps []time.Duration) {
	for n := 1; n < len(starts); n++ {
		gaps = append(gaps, starts[n].Sub(starts[n-1]))
	}
	return gaps
}

func TestACallOfAnOldProducerTakesItsTurn(t *testing.T) {
	inHouse(t, func(w *house) {
		f, g := visits(refcache.Gate{Each: 1}), newGated(100*time.Millisecond)
		w.Start(worker.Config{Concurrency: 8}, handles(f, g))
		old := f
		old.Gate, old.Turn = refcache.Gate{}, nil
		var refs []refcache.Ref
		for n := range 10 {
			if n%2 == 0 {
				refs = append(refs, w.visit(old, site{Host: "h", N: n}))
			} else {
				refs = append(refs, w.visit(f, site{Host: "h", N: n}))
			}
		}
		w.awaitAll(refs)
		require.Equal(w, map[string]int{"h": 1}, g.most)
		require.Len(w, g.starts, 10)
	})
}
