package producer_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// A full Redis would refuse it: only what began something is to be listed.
func TestAFreshProducerWritesNothingForWhatIsOnRecord(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		made, err := w.Call(kit.Echo, "in")
		require.NoError(w, err)
		listed := func() int64 {
			n, err := w.Redis.Exists(w.Context(), "refq:queues", "asynq:queues").Result()
			require.NoError(w, err)
			return n
		}
		require.EqualValues(w, 2, listed())
		require.NoError(w, w.Redis.Del(w.Context(), "refq:queues", "asynq:queues").Err())

		p := w.NewProducer(producer.Config{})
		hit, err := producer.Call(w.Context(), p, kit.Echo, "in")
		require.NoError(w, err)
		require.Equal(w, refcache.CacheHit, hit.Cache)
		for _, end := range producer.CallMany(w.Context(), p, kit.Echo, slices.Values([]string{"in"})) {
			require.Equal(w, refcache.CacheHit, end.Cache)
		}
		for _, read := range []func() error{
			func() error { _, err := p.Get(w.Context(), made.RefID); return err },
			func() error { _, err := p.Wait(w.Context(), made.RefID); return err },
			func() error { _, err := p.Info(w.Context(), made.RefID); return err },
		} {
			require.NoError(w, read())
		}
		require.Zero(w, listed())

		_, err = producer.Submit(w.Context(), p, kit.Echo, "new")
		require.NoError(w, err)
		require.EqualValues(w, 2, listed())
	})
}
