package admin_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// A beat tells of five attempts in a queue, and no call writes more for it.
func TestHealthTellsWhatRunsLongestAndWhere(t *testing.T) {
	kit.In(t, func(w *kit.World) {
		fn := refcache.Func[int, int]{Name: "slow", Version: 2, Queue: "media", Timeout: -1}
		w.Start(worker.Config{Concurrency: 10}, kit.Handles(fn, func(ctx context.Context, n int) (int, error) {
			<-ctx.Done()
			return n, ctx.Err()
		}))
		mine, others := w.NewProducer(producer.Config{}), w.NewProducer(producer.Config{Namespace: "other"})
		first, err := producer.Submit(w.Context(), others, fn, 0)
		require.NoError(w, err)
		time.Sleep(time.Minute)
		var refs []refcache.Ref
		for n := range 6 {
			ref, err := producer.Submit(w.Context(), mine, fn, n+1)
			require.NoError(w, err)
			refs = append(refs, ref)
			time.Sleep(time.Minute)
		}
		h, err := w.NewAdmin(admin.Config{}).Health(w.Context())
		require.NoError(w, err)
		require.InDelta(w, 7*time.Minute, h.Queues[0].OldestProcessing, float64(time.Second))
		require.Len(w, h.Workers, 1)
		require.Len(w, h.Workers[0].Oldest, 5)
		require.Equal(w, os.Getpid(), h.Workers[0].PID)
		require.Empty(w, h.Workers[0].Oldest[0].Ref, "it is of another namespace")
		require.Equal(w, "slow@2", h.Workers[0].Oldest[0].Func)
		require.Equal(w, refs[0], h.Workers[0].Oldest[1].Ref)
		require.InDelta(w, 6*time.Minute, h.Workers[0].Oldest[1].For, float64(time.Second))

		h, err = w.NewAdmin(admin.Config{Namespace: refcache.AllNamespaces}).Health(w.Context())
		require.NoError(w, err)
		require.Equal(w, first, h.Workers[0].Oldest[0].Ref)
	})
}
