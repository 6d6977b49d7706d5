package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/metrics"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// guarded is a Redis on which users have the rights of a role, and no others.
type guarded struct {
	*testing.T
	root *redis.Client
	addr string
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{T: t, addr: testkit.New(t).Addr}
	g.root = redis.NewClient(testkit.Options(g.addr))
	t.Cleanup(func() { _ = g.root.Close() })
	return g
}

// acl runs an ACL command, word by word.
func (g *guarded) acl(line string) {
	g.Helper()
	var words []any
	for _, word := range strings.Fields(line) {
		words = append(words, word)
	}
	require.NoError(g, g.root.Do(g.Context(), words...).Err(), line)
}

// user is a client of a user with the rights of a role, who has the role's name.
func (g *guarded) user(role string) redis.UniversalClient {
	g.Helper()
	line, err := admin.ACL(role, role)
	require.NoError(g, err)
	g.acl(line)
	g.acl("ACL SETUSER " + role + " >secret")
	options := testkit.Options(g.addr)
	options.Username, options.Password = role, "secret"
	rdb := redis.NewClient(options)
	g.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// refused is what Redis has refused to its users so far, but for what the doctor only tries.
func (g *guarded) refused() (all []string) {
	g.Helper()
	entries, err := g.root.ACLLog(g.Context(), 100).Result()
	require.NoError(g, err)
	for _, e := range entries {
		if e.Object == "config|get" || strings.Contains(e.Object, "{probe}") {
			continue
		}
		all = append(all, e.Username+": "+e.Reason+" "+e.Object+" in "+e.Context)
	}
	return all
}

var tried = refcache.Func[string, string]{Name: "f", Timeout: time.Minute, AsyncTimeout: time.Minute, TTL: time.Hour, Tags: func(string) []string { return []string{"t"} },
	Retry: refcache.RetryPolicy{MaxRetries: 1, Delay: time.Millisecond}}

// trip has a worker, a producer and an operator do what they are for.
func (g *guarded) trip(workers, producers, operators redis.UniversalClient) {
	g.Helper()
	ctx := g.Context()
	var runs atomic.Int32
	w := worker.New(workers, worker.Config{Concurrency: 2, Logger: slog.New(slog.DiscardHandler)})
	worker.Handle(w, tried, func(ctx context.Context, in string) (string, error) {
		worker.ReportProgress(ctx, 1, 2, "half")
		switch {
		case in == "hang":
			<-ctx.Done()
			return "", ctx.Err()
		case in == "fail" && runs.Add(1) <= 2:
			return "", errors.New("not yet")
		}
		return in + "!", nil
	})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(running) }()
	p := producer.New(producers, producer.Config{})
	a := admin.New(operators, admin.Config{By: "ann"})
	defer func() {
		stop()
		require.NoError(g, <-ended)
		require.NoError(g, p.Close())
		require.NoError(g, a.Close())
	}()

	answer, err := producer.Call(ctx, p, tried, "plain")
	require.NoError(g, err)
	require.Equal(g, "plain!", answer.Value)
	answer, err = producer.Call(ctx, p, tried, "plain")
	require.NoError(g, err)
	require.Equal(g, "plain!", answer.Value)
	for _, made := range producer.CallMany(ctx, p, tried, func(yield func(string) bool) { _ = yield("a") && yield("b") }) {
		require.NoError(g, made.Err)
	}
	failing, err := producer.Submit(ctx, p, tried, "fail")
	require.NoError(g, err)
	answer, _ = producer.Wait(ctx, p, tried, failing)
	require.Equal(g, refcache.Failed, answer.Status)
	_, err = a.Retry(ctx, failing, admin.FreshBudget())
	require.NoError(g, err)
	answer, err = producer.Wait(ctx, p, tried, failing)
	require.NoError(g, err)
	require.Equal(g, "fail!", answer.Value)

	hanging, err := producer.Submit(ctx, p, tried, "hang")
	require.NoError(g, err)
	for info, err := p.Info(ctx, hanging); info.Status != refcache.Processing; info, err = p.Info(ctx, hanging) {
		require.NoError(g, err)
	}
	require.NoError(g, p.Cancel(ctx, hanging))
	require.NoError(g, p.Invalidate(ctx, producer.OfFunc("f")))

	for _, err := range a.List(ctx, admin.Filter{}) {
		require.NoError(g, err)
	}
	_, err = a.Task(ctx, failing)
	require.NoError(g, err)
	_, err = a.Sizes(ctx)
	require.NoError(g, err)
	_, err = a.Pauses(ctx)
	require.NoError(g, err)
	_, err = a.Gates(ctx)
	require.NoError(g, err)
	h, err := a.Health(ctx)
	require.NoError(g, err)
	require.False(g, h.Wrong(), h.Findings())
	require.NoError(g, a.Delete(ctx, hanging))
	shown := prometheus.NewRegistry()
	shown.MustRegister(metrics.NewCollector(metrics.Config{Redis: workers, Worker: w}))
	_, err = shown.Gather()
	require.NoError(g, err)
}

func TestThePrintedRightsAreEnoughForEachRole(t *testing.T) {
	t.Parallel()
	t.Run("each", func(t *testing.T) {
		t.Parallel()
		g := newGuarded(t)
		g.trip(g.user("worker"), g.user("producer"), g.user("operator"))
		require.Empty(t, g.refused())
		for _, role := range []string{"worker", "producer", "operator"} {
			h, err := admin.New(g.user(role), admin.Config{}).HealthFor(t.Context(), role)
			require.NoError(t, err)
			require.Empty(t, h.Refused, role)
		}
		_, err := admin.New(g.user("worker"), admin.Config{}).HealthFor(t.Context(), "boss")
		require.ErrorContains(t, err, `there is no role "boss"`)
	})
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		g := newGuarded(t)
		all := g.user("all")
		g.trip(all, all, all)
		require.Empty(t, g.refused())
	})
}

// unneeded are the rights without which calls go on: some are for Clusters alone, and the client or the doctor makes do without others.
var unneeded = strings.Fields("+hello +select +client|setname +asking +command +cluster|slots +cluster|nodes +cluster|info +acl|whoami +info +ping")

func TestTheDoctorNamesEachOfThePrintedRightsThatIsTakenAway(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	line, err := admin.ACL("all", "all")
	require.NoError(t, err)
	rights := strings.Fields(line)[7:]
	a := admin.New(g.user("all"), admin.Config{})
	defer a.Close()
	look := func() monitor.Finding {
		h, err := a.Health(t.Context())
		require.NoError(t, err)
		for _, f := range h.Findings() {
			if f.ID == "permissions" {
				return f
			}
		}
		return monitor.Finding{}
	}
	require.Equal(t, monitor.LevelOK, look().Level)
	for _, right := range rights {
		if strings.Contains(" "+strings.Join(unneeded, " ")+" ", " "+right+" ") {
			continue
		}
		g.acl(strings.Replace(line+" ", " "+right+" ", " ", 1))
		f := look()
		require.Equal(t, monitor.LevelWrong, f.Level, right)
		name := strings.ReplaceAll(strings.ToUpper(right[1:]), "{*}", "{DEFAULT}")
		if strings.HasPrefix(right, "&") {
			name = strings.ToUpper(right[1:])
		}
		if right == "+@pubsub" {
			name = "SSUBSCRIBE, SPUBLISH"
		}
		require.Contains(t, strings.ToUpper(f.Fact), name, right)
	}
	g.acl(line)
	require.Equal(t, monitor.LevelOK, look().Level)
}

func TestRightsAreOfARoleThatThereIsAndOfOneWord(t *testing.T) {
	t.Parallel()
	for role, user := range map[string]string{"boss": "u", "all": "a b", "worker": ""} {
		_, err := admin.ACL(role, user)
		require.Error(t, err)
	}
	all, err := admin.ACL("all", "u")
	require.NoError(t, err)
	require.NotContains(t, all, "config")
	made, err := admin.ACL("producer", "u")
	require.NoError(t, err)
	require.NotContains(t, made, "~asynq:servers*")
	require.NotContains(t, made, "+lset")
}
