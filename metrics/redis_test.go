package metrics_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/metrics"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestTheOldestAttemptOfAQueueIsShown(t *testing.T) {
	kit.In(t, func(w *kit.World) {
		fn := refcache.Func[int, int]{Name: "slow", Queue: "media", Timeout: -1}
		w.Start(worker.Config{}, kit.Handles(fn, func(ctx context.Context, n int) (int, error) {
			<-ctx.Done()
			return n, ctx.Err()
		}))
		_, err := producer.Submit(w.Context(), w.NewProducer(producer.Config{}), fn, 1)
		require.NoError(w, err)
		time.Sleep(time.Hour)
		answer := httptest.NewRecorder()
		metrics.Handler(metrics.Config{Redis: w.Client()}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		require.Regexp(w, `refq_queue_oldest_processing_seconds\{queue="media"\} (3599|3600)\.?\d*\n`, answer.Body.String())
	})
}

// Findings are looked at in the background, so the first to ask sees none.
func TestFindingsAreShownWhereTheDoctorLooks(t *testing.T) {
	kit.In(t, func(w *kit.World) {
		a := w.NewAdmin(admin.Config{})
		shown := func(handler metrics.Config) string {
			answer := httptest.NewRecorder()
			metrics.Handler(handler).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
			return answer.Body.String()
		}
		require.NotContains(w, shown(metrics.Config{Redis: w.Redis, Admin: a}), "refq_findings")
		handler := metrics.Handler(metrics.Config{Redis: w.Redis, Admin: a, Doctor: true})
		get := func() string {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
			return answer.Body.String()
		}
		require.NotContains(w, get(), "refq_findings{")
		time.Sleep(time.Second)
		require.Contains(w, get(), `refq_findings{finding="workers",level="warning"} 1`)
		w.Start(worker.Config{}, kit.Handles(refcache.Func[int, int]{Name: "f"}, func(context.Context, int) (int, error) { return 0, nil }))
		time.Sleep(30 * time.Second)
		require.Contains(w, get(), `refq_findings{finding="workers",level="warning"} 1`, "once a minute")
		time.Sleep(30 * time.Second)
		get()
		time.Sleep(time.Second)
		require.Contains(w, get(), `refq_findings{finding="workers",level="ok"} 1`)
	})
}

func TestMemoryAndEvictionsOfARealRedisAreShown(t *testing.T) {
	t.Parallel()
	server := testkit.New(t, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
	rdb := redis.NewClient(testkit.Options(server.Addr))
	defer rdb.Close()
	for n := range 100 {
		require.NoError(t, rdb.Set(t.Context(), "k"+string(rune('a'+n)), strings.Repeat("x", 100<<10), 0).Err())
	}
	answer := httptest.NewRecorder()
	metrics.Handler(metrics.Config{Redis: rdb}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	text := answer.Body.String()
	require.Contains(t, text, `refq_redis_max_memory_bytes{node="`+server.Addr+`"} 3.145728e+06`)
	require.Regexp(t, `refq_redis_used_memory_bytes\{node="[^"]+"\} [1-9]`, text)
	require.Regexp(t, `refq_redis_evicted_keys_total\{node="[^"]+"\} [1-9]`, text)

	require.NoError(t, rdb.Do(t.Context(), "ACL", "SETUSER", "default", "-info").Err())
	answer = httptest.NewRecorder()
	metrics.Handler(metrics.Config{Redis: rdb}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	require.Contains(t, answer.Body.String(), `refq_redis_node_up{node="`+server.Addr+`"} 1`)
	require.NotContains(t, answer.Body.String(), "refq_redis_used_memory_bytes{")
}
