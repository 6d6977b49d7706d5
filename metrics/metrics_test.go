package metrics_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/metrics"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// world is a producer and a worker in a bubble, and their metrics.
type world struct {
	*kit.World
	metrics.Config
	stop func() // the worker, once
	sent atomic.Int64
}

var thumb = refcache.Func[string, string]{Name: "thumb", Queue: "media", AsyncTimeout: time.Minute,
	Retry: refcache.RetryPolicy{MaxRetries: 1}}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	kit.In(t, func(k *kit.World) {
		p := producer.New(k.Redis, producer.Config{})
		k.Cleanup(func() { require.NoError(k, p.Close()) })
		w := &world{World: k, Config: metrics.Config{Redis: k.Redis, Producer: p, Version: "v9"}}
		host := w.Start(worker.Config{}, func(wk *worker.Worker) { w.Worker = wk },
			kit.Handles(thumb, func(ctx context.Context, in string) (string, error) {
				if in == "bad" {
					return "", errors.New("no picture")
				}
				time.Sleep(2 * time.Second)
				return in, nil
			}))
		w.stop = host.Stop
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			w.sent.Add(1)
			return memredis.Pass
		})
		time.Sleep(time.Second)
		test(w)
	})
}

// get asks the handler.
func (w *world) get(path string) (int, string) {
	w.Helper()
	answer := httptest.NewRecorder()
	metrics.Handler(w.Config).ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
	return answer.Code, answer.Body.String()
}

// shows asserts lines of the metrics.
func (w *world) shows(lines string) {
	w.Helper()
	code, text := w.get("/metrics")
	require.Equal(w, 200, code)
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line != "" {
			require.Contains(w, "\n"+text, "\n"+line+"\n")
		}
	}
}

func (w *world) call(in string) error {
	_, err := producer.Call(w.Context(), w.Producer, thumb, in)
	return err
}

// What a producer and an admin of one process cancel is one series.
func TestCancelsOfProducerAndAdminAreCountedTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		w.Admin = admin.New(w.World.Redis, admin.Config{})
		defer w.Admin.Close()
		w.stop() // nothing runs
		for n, cancel := range []func(context.Context, refcache.Ref) error{w.Producer.Cancel, w.Admin.Cancel, w.Admin.As("ann").Cancel} {
			ref, err := producer.Submit(w.Context(), w.Producer, thumb, fmt.Sprint(n))
			require.NoError(w, err)
			require.NoError(w, cancel(w.Context(), ref))
		}
		w.shows(`refq_calls_finished_total{func="thumb",queue="media",status="cancelled"} 3`)
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		require.Error(w, w.Admin.Cancel(w.Context(), refcache.Ref("media:00112233445566778899aabbccddeeff")))
		w.Server.SetFaults(nil)
		w.shows(`refq_redis_errors_total{operation="read"} 1`)
	})
}

func TestMetricsShowWhatHappensToCalls(t *testing.T) {
	inWorld(t, func(w *world) {
		require.NoError(w, w.call("a"))
		require.NoError(w, w.call("a"))
		require.Error(w, w.call("bad"))
		waiting := make(chan error)
		go func() { waiting <- w.call("b") }()
		time.Sleep(time.Second)
		w.shows(`
			refq_calls_submitted_total{func="thumb",queue="media",result="miss"} 3
			refq_calls_submitted_total{func="thumb",queue="media",result="joined"} 0
			refq_calls_submitted_total{func="thumb",queue="media",result="hit"} 1
			refq_calls_finished_total{func="thumb",queue="media",status="complete"} 1
			refq_calls_finished_total{func="thumb",queue="media",status="failed"} 1
			refq_calls_finished_total{func="thumb",queue="media",status="cancelled"} 0
			refq_attempts_total{func="thumb",outcome="complete",queue="media"} 1
			refq_attempts_total{func="thumb",outcome="error",queue="media"} 2
			refq_attempts_total{func="thumb",outcome="lost",queue="media"} 0
			refq_attempt_duration_seconds_bucket{func="thumb",queue="media",le="0.001"} 2
			refq_attempt_duration_seconds_bucket{func="thumb",queue="media",le="2.5"} 3
			refq_attempt_duration_seconds_bucket{func="thumb",queue="media",le="+Inf"} 3
			refq_attempt_duration_seconds_sum{func="thumb",queue="media"} 2
			refq_attempt_duration_seconds_count{func="thumb",queue="media"} 3
			refq_call_duration_seconds_count{func="thumb",queue="media"} 2
			refq_queue_wait_seconds_count{func="thumb",queue="media"} 3
			refq_retry_backoff_seconds_count{func="thumb",queue="media"} 1
			refq_retry_lateness_seconds_bucket{func="thumb",queue="media",le="1"} 1
			refq_attempts_in_flight{func="thumb",queue="media"} 1
			refq_redeliveries_total{func="thumb",queue="media"} 0
			refq_waiters 1
			refq_worker_up 1
			refq_queue_tasks{queue="media",status="processing"} 1
			refq_queue_tasks{queue="media",status="failed"} 1
			refq_queue_tasks{queue="media",status="pending"} 0
			refq_queue_tasks{queue="media",status="waiting"} 0
			refq_queue_oldest_pending_seconds{queue="media"} 0
			refq_queue_workers{queue="media"} 1
		`)
		_, text := w.get("/metrics")
		require.Regexp(w, `refq_build_info{go_version="go1.*",version="v9"} 1`, text)
		require.Contains(w, text, "go_goroutines ")
		require.NotContains(w, text, "picture")
		require.NoError(w, <-waiting)
	})
}

func TestMetricsAreWellNamed(t *testing.T) {
	inWorld(t, func(w *world) {
		require.NoError(w, w.call("a"))
		w.Server.SetFaults(func(cmd []string) memredis.Fault { return "ERR no" })
		require.Error(w, w.call("b"))
		w.Server.SetFaults(nil)
		registry := prometheus.NewPedanticRegistry()
		require.NoError(w, registry.Register(metrics.NewCollector(w.Config)))
		problems, err := testutil.GatherAndLint(registry)
		require.NoError(w, err)
		require.Empty(w, problems)

		families, err := registry.Gather()
		require.NoError(w, err)
		for _, f := range families {
			for _, l := range f.GetMetric()[0].GetLabel() {
				require.Contains(w, []string{"queue", "func", "result", "status", "outcome", "repair", "operation", "version", "go_version", "node"}, l.GetName(), f.GetName())
			}
		}
	})
}

func TestErrorsOfRedisAreCountedByWhatWasDone(t *testing.T) {
	inWorld(t, func(w *world) {
		_, text := w.get("/metrics")
		require.NotContains(w, text, "refq_redis_errors_total{")
		w.Server.SetFaults(func(cmd []string) memredis.Fault { return "ERR no" })
		_, err := producer.Submit(w.Context(), w.Producer, thumb, "x")
		require.Error(w, err)
		_, err = w.Producer.Info(w.Context(), refcache.Ref("media:00112233445566778899aabbccddeeff"))
		require.Error(w, err)
		time.Sleep(5 * time.Second)
		w.Server.SetFaults(nil)
		_, text = w.get("/metrics")
		for _, operation := range []string{"submit", "read", "heartbeat", "sweep", "asynq"} {
			require.Regexp(w, `refq_redis_errors_total{operation="`+operation+`"} [1-9]`, text)
		}
		_, err = w.Producer.Info(w.Context(), refcache.Ref("media:00112233445566778899aabbccddeeff"))
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		_, again := w.get("/metrics")
		reads := regexp.MustCompile(`{operation="read"} \d+`)
		require.Equal(w, reads.FindString(text), reads.FindString(again), "what is not there is no error")
	})
}

func TestManyScrapesReadTheQueuesOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		time.Sleep(10 * time.Second)
		require.NoError(w, w.World.Redis.Ping(w.Context()).Err()) // there is a connection
		handler := metrics.Handler(w.Config)
		before := w.sent.Load()
		for range 100 {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
			require.Equal(w, 200, answer.Code)
		}
		require.LessOrEqual(w, w.sent.Load()-before, int64(9), "two INFO over another connection, and three scripts, which may not be there yet")
	})
}

func TestWhatIsPausedIsShown(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.NewAdmin(admin.Config{})
		require.NoError(w, w.call("x"))
		time.Sleep(11 * time.Second)
		_, text := w.get("/metrics")
		require.NotContains(w, text, "refq_paused{")
		for _, f := range []string{"thumb", "thumb@1"} {
			_, err := a.Pause(w.Context(), admin.Target{Func: f}, admin.PauseTerms{})
			require.NoError(w, err)
		}
		w.World.Redis.Set(w.Context(), "asynq:{media}:paused", "1", 0) // as asynq's web UI does it
		time.Sleep(11 * time.Second)
		w.shows(`
			refq_paused{func="",gate="",key="",queue="media"} 1
			refq_paused{func="thumb",gate="",key="",queue="media"} 1
			refq_paused{func="thumb@1",gate="",key="",queue="media"} 1
		`)
	})
}

func TestGatesAreShownWhereThereAreAny(t *testing.T) {
	inWorld(t, func(w *world) {
		_, text := w.get("/metrics")
		require.NotContains(w, text, "refq_gate_")
		gated := refcache.Func[string, string]{Name: "gated", Queue: "maps", AsyncTimeout: -1, Gate: refcache.Gate{Name: "hosts", Each: 1}}
		limited := gated
		limited.Name, limited.Gate = "limited", refcache.Gate{Name: "disk", All: 3}
		held := func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", context.Cause(ctx) }
		w.Start(worker.Config{ShutdownTimeout: -1}, kit.Handles(gated, held), kit.Handles(limited, held))
		w.Worker = nil // all queues
		time.Sleep(time.Second)
		for n := range 3 {
			_, err := producer.Submit(w.Context(), w.Producer, gated, fmt.Sprint(n))
			require.NoError(w, err)
		}
		time.Sleep(30 * time.Second)
		w.shows(`
			refq_gate_running{gate="hosts",queue="maps"} 1
			refq_gate_waiting{gate="hosts",queue="maps"} 2
			refq_gate_running{gate="disk",queue="maps"} 0
			refq_gate_limit{gate="disk",queue="maps"} 3
			refq_gate_waiting{gate="disk",queue="maps"} 0
			refq_gate_oldest_waiting_seconds{gate="disk",queue="maps"} 0`)
		_, text = w.get("/metrics")
		require.Regexp(w, `refq_gate_oldest_waiting_seconds{gate="hosts",queue="maps"} (29|30)`, text)
		require.NotContains(w, text, `refq_gate_limit{gate="hosts"`)
	})
}

func TestWithoutAWorkerAllQueuesAreShown(t *testing.T) {
	inWorld(t, func(w *world) {
		other := thumb
		other.Queue = "other"
		_, err := producer.Submit(w.Context(), w.Producer, other, "x")
		require.NoError(w, err)
		w.Worker = nil
		time.Sleep(time.Minute)
		w.shows(`
			refq_queue_tasks{queue="media",status="pending"} 0
			refq_queue_tasks{queue="other",status="pending"} 1
			refq_queue_oldest_pending_seconds{queue="other"} 60
			refq_queue_workers{queue="other"} 0
		`)
		_, text := w.get("/metrics")
		require.NotContains(w, text, "refq_worker_up")
		code, _ := w.get("/readyz")
		require.Equal(w, 200, code)
	})
}

func TestAProcessWithoutAWorkerIsReadyWhileRedisAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		w.Worker = nil
		w.answers("/readyz", 200, "ok")
		w.answers("/readyz?queue=media", 404, "there is no worker here, which could serve a queue")
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		w.answers("/readyz", 503, "no answer from Redis: ERR no")
	})
}

// answers checks what a path answers.
func (w *world) answers(path string, code int, text string) {
	w.Helper()
	gotCode, got := w.get(path)
	require.Equal(w, code, gotCode, got)
	require.Equal(w, text, strings.TrimSpace(got))
}

func TestAWorkerTellsWhichQueueItDoesNotServe(t *testing.T) {
	inWorld(t, func(w *world) {
		w.answers("/readyz?queue=media", 200, "ok")
		w.answers("/readyz?queue=other", 404, `queue "other" is none of this worker's: it serves media`)
		asks := func(cmd []string) memredis.Fault { // questions for work, and enqueues, which are not made here
			if slices.Contains(cmd, "asynq:{media}:pending") {
				return "ERR no"
			}
			return memredis.Pass
		}
		w.Server.SetFaults(asks)
		time.Sleep(14 * time.Second)
		w.answers("/readyz", 200, "ok")
		time.Sleep(4 * time.Second)
		const why = `queue media on \S+ is not served: Redis has not answered the worker's question for work for 1`
		code, text := w.get("/readyz?queue=media")
		require.Equal(w, 503, code)
		require.Regexp(w, why+`\ds: .*ERR no`, text)
		code, text = w.get("/readyz")
		require.Equal(w, 503, code)
		require.Contains(w, text, "ERR no")
		w.shows("refq_worker_up 0\nrefq_worker_queue_up{queue=\"media\"} 0")
		a := admin.New(w.World.Redis, admin.Config{})
		defer a.Close()
		health, err := a.Health(w.Context())
		require.NoError(w, err)
		require.Equal(w, []string{"media"}, health.Workers[0].NotAsking)
		w.Server.SetFaults(nil)
		time.Sleep(5 * time.Second)
		w.answers("/readyz", 200, "ok")
		w.shows("refq_worker_queue_up{queue=\"media\"} 1")
	})
}

func TestAProcessIsReadyWhileItsWorkerTakesCalls(t *testing.T) {
	inWorld(t, func(w *world) {
		code, text := w.get("/readyz")
		require.Equal(w, 200, code, text)
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		time.Sleep(10 * time.Second)
		code, text = w.get("/readyz")
		require.Equal(w, 503, code)
		require.Contains(w, text, "ERR no")
		w.Server.SetFaults(func([]string) memredis.Fault { time.Sleep(time.Minute); return memredis.Pass })
		began := time.Now()
		code, _ = w.get("/readyz")
		require.Equal(w, 503, code)
		code, _ = w.get("/metrics")
		require.Equal(w, 200, code, "there is something to show all the same")
		require.Less(w, time.Since(began), 10*time.Second)
		code, text = w.get("/healthz")
		require.Equal(w, 200, code)
		require.Equal(w, "ok\n", text)

		w.Server.SetFaults(nil)
		time.Sleep(5 * time.Minute)
		code, text = w.get("/readyz")
		require.Equal(w, 200, code, text)
		w.stop()
		code, text = w.get("/readyz")
		require.Equal(w, 503, code)
		require.Contains(w, text, "it stops")
		w.shows("refq_worker_up 0")
	})
}

func TestMetricsAreForReading(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			answer := httptest.NewRecorder()
			metrics.Handler(w.Config).ServeHTTP(answer, httptest.NewRequest("POST", path, nil))
			require.Equal(w, 405, answer.Code, path)
		}
		code, _ := w.get("/")
		require.Equal(w, 404, code)
	})
}

// What dashboard and alerts ask for must be there, with the labels that they name.
func TestDashboardAndAlertsAskForWhatThereIs(t *testing.T) {
	inWorld(t, func(w *world) {
		require.NoError(w, w.call("a"))
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		_ = w.call("b")
		w.Server.SetFaults(nil)
		registry := prometheus.NewRegistry()
		registry.MustRegister(metrics.NewCollector(w.Config))
		families, err := registry.Gather()
		require.NoError(w, err)
		labels := map[string]map[string]bool{"up": {"job": true, "instance": true}} // by metric; what Prometheus itself adds
		descriptions := make(chan *prometheus.Desc, 100)
		metrics.NewCollector(w.Config).Describe(descriptions)
		close(descriptions)
		for d := range descriptions {
			parts := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: {(.*)}}`).FindStringSubmatch(d.String())
			require.NotNil(w, parts, d.String())
			names := map[string]bool{"job": true, "instance": true}
			for _, l := range strings.Split(parts[2], ",") {
				names[l] = true
			}
			labels[parts[1]] = names
		}
		for _, f := range families {
			if f.GetType().String() != "HISTOGRAM" {
				continue
			}
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				labels[f.GetName()+suffix] = map[string]bool{"le": true, "queue": true, "func": true, "job": true, "instance": true}
			}
			delete(labels, f.GetName()) // it cannot be asked for without
		}
		for _, e := range append(dashboardExpressions(w), alertExpressions(w)...) {
			for _, problem := range unknownIn(e, labels) {
				w.Errorf("%s\n%s", e, problem)
			}
		}
	})
}

var (
	selector = regexp.MustCompile(`\b(refq_\w+|up)\b(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
)

// unknownIn tells what of an expression there is not.
func unknownIn(expression string, labels map[string]map[string]bool) (problems []string) {
	found := selector.FindAllStringSubmatch(expression, -1)
	if len(found) == 0 {
		problems = append(problems, "asks for nothing of refq")
	}
	all := map[string]bool{}
	for _, s := range found {
		known, ok := labels[s[1]]
		if !ok {
			problems = append(problems, "there is no "+s[1])
		}
		for l := range known {
			all[l] = true
		}
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !known[m[1]] {
				problems = append(problems, fmt.Sprintf("%s has no label %s", s[1], m[1]))
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expression, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); l != "" && !all[l] {
				problems = append(problems, "groups by "+l+", which nothing in it has")
			}
		}
	}
	return problems
}

func TestTheCheckOfExpressionsFindsMistakes(t *testing.T) {
	t.Parallel()
	labels := map[string]map[string]bool{"refq_x_total": {"queue": true}, "refq_y_bucket": {"le": true, "func": true}}
	for expression, problem := range map[string]string{
		`sum by (queue) (rate(refq_x_total{queue=~"a|b"}[5m]))`:          "",
		`histogram_quantile(0.9, sum by (le) (rate(refq_y_bucket[5m])))`: "",
		`rate(refq_z_total[5m])`:                                         "there is no refq_z_total",
		`rate(refq_x_total{func="f"}[5m])`:                               "refq_x_total has no label func",
		`sum by (queue, colour) (refq_x_total)`:                          "groups by colour, which nothing in it has",
		`rate(http_requests_total[5m])`:                                  "asks for nothing of refq",
	} {
		require.Equal(t, problem, strings.Join(unknownIn(expression, labels), "; "), expression)
	}
}

// dashboardExpressions are all expressions of the dashboard, with Grafana's variables filled in.
func dashboardExpressions(t require.TestingT) (expressions []string) {
	text, err := os.ReadFile("../deploy/grafana/refq.json")
	require.NoError(t, err)
	var dashboard any
	require.NoError(t, json.Unmarshal(text, &dashboard))
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if text, ok := inner.(string); ok && key == "expr" {
					expressions = append(expressions, text)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(dashboard)
	require.NotEmpty(t, expressions)
	return expressions
}

func TestTheDocumentNamesEveryMetric(t *testing.T) {
	inWorld(t, func(w *world) {
		text, err := os.ReadFile("../docs/observability.md")
		require.NoError(w, err)
		descriptions := make(chan *prometheus.Desc, 100)
		metrics.NewCollector(w.Config).Describe(descriptions)
		close(descriptions)
		there := map[string]bool{}
		for d := range descriptions {
			name := regexp.MustCompile(`refq_\w+`).FindString(d.String())
			there[name] = true
			require.Contains(w, string(text), "| `"+name+"` |")
		}
		for _, name := range regexp.MustCompile("\\| `(refq_\\w+)` \\|").FindAllStringSubmatch(string(text), -1) {
			require.True(w, there[name[1]], "there is no %s", name[1])
		}
	})
}
