package admin_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// many is a real Redis with many failed calls.
type many struct {
	testing.TB
	rdb redis.UniversalClient
	a   *admin.Admin
}

// newMany makes n calls that failed for good, as workers would.
func newMany(tb testing.TB, n int) many {
	tb.Helper()
	rdb, err := refq.Connect("redis://" + testkit.New(tb).Addr + testkit.Patience)
	require.NoError(tb, err)
	m := many{tb, rdb, admin.New(rdb, admin.Config{By: "ann@desk"})}
	tb.Cleanup(func() {
		require.NoError(tb, m.a.Close())
		require.NoError(tb, rdb.Close())
	})
	s := store.New(rdb)
	next := make(chan int)
	var seeders sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		seeders.Go(func() {
			var err error
			for i := range next {
				if err == nil {
					err = m.failOne(s, i)
				}
			}
			errs <- err
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	seeders.Wait()
	for range cap(errs) {
		require.NoError(tb, <-errs)
	}
	require.NoError(tb, s.AddQueue(tb.Context(), "default"))
	return m
}

func (m many) failOne(s *store.Store, i int) error {
	ref := refcache.Ref(fmt.Sprintf("default:%032x", i))
	policy := refcache.Defaults
	policy.Name, policy.Queue = "echo", "default"
	token := fmt.Sprint("t", i)
	_, err := s.Submit(m.Context(), ref, store.Submission{Request: token, Namespace: "default", Policy: policy, Args: []byte(`{"n":1}`)})
	if err == nil {
		_, err = s.Claim(m.Context(), ref, token, "w1")
	}
	if err == nil {
		_, err = s.Finish(m.Context(), ref, token, store.Errored(store.Failure{Error: "service is down", Permanent: true}))
	}
	return err
}

// list returns how many failed calls are listed, each once.
func (m many) list() int {
	m.Helper()
	seen := map[refcache.Ref]bool{}
	for info, err := range m.a.List(m.Context(), admin.Filter{Status: refcache.Failed}) {
		require.NoError(m, err)
		require.False(m, seen[info.RefID], "%s is listed twice", info.RefID)
		seen[info.RefID] = true
	}
	return len(seen)
}

// retry retries all with a fresh budget.
func (m many) retry() (accepted int) {
	m.Helper()
	for r, err := range m.a.RetryAll(m.Context(), admin.Filter{}, admin.FreshBudget()) {
		require.NoError(m, err)
		require.NoError(m, r.Err)
		accepted++
	}
	return accepted
}

// commands is how many commands clients have sent, by name.
func (m many) commands() map[string]int {
	m.Helper()
	counts := map[string]int{}
	for line := range strings.Lines(m.rdb.Info(m.Context(), "commandstats").Val()) {
		var n int
		if name, rest, found := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls="); found {
			_, err := fmt.Sscanf(rest, "%d", &n)
			require.NoError(m, err)
			counts[name] = n
		}
	}
	return counts
}

func TestThousandsOfFailuresAreListedAndRetried(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	const n = 3000
	m := newMany(t, n)
	require.Equal(t, n, m.list())
	before := m.commands()["evalsha"]
	require.Equal(t, n, m.retry())
	sent := m.commands()["evalsha"] - before
	require.GreaterOrEqual(t, sent, 2*n, "one command for the record and one for the doorbell")
	require.LessOrEqual(t, sent, 3*n+n/20, "and at most one more that wakes a worker; those that come together share it")
	require.Zero(t, m.list())
	require.EqualValues(t, n, m.rdb.ZCard(t.Context(), "refq:{default}:pending").Val())
	require.EqualValues(t, n, m.rdb.LLen(t.Context(), "asynq:{default}:pending").Val())
}

// BenchmarkRetryAll retries as many failed calls as it is told: -benchtime 50000x.
func BenchmarkRetryAll(b *testing.B) {
	m := newMany(b, b.N)
	began := time.Now()
	require.Equal(b, b.N, m.list())
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(b.N), "ns/listed")
	before := m.commands()
	b.ResetTimer()
	require.Equal(b, b.N, m.retry())
	b.StopTimer()
	for name, n := range m.commands() {
		if n > before[name] {
			b.ReportMetric(float64(n-before[name])/float64(b.N), name+"/op")
		}
	}
}
