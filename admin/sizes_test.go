package admin_test

import (
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/monitor"
)

func TestSizesCountWhatIsInEachQueue(t *testing.T) {
	inOffice(t, func(w *office) {
		slow := kit.Echo
		slow.Name, slow.Queue = "slow", "media"
		none, err := w.A.Sizes(w.Context())
		require.NoError(w, err)
		require.Empty(w, none)

		w.Work((&kit.Script{Errs: []error{kit.ErrDown}}).Of(kit.Once(kit.Echo)))
		_, err = w.Call(kit.Once(kit.Echo), "x")
		require.Error(w, err)
		w.Submit(slow, "a")
		require.NoError(w, w.A.Cancel(w.Context(), w.Submit(slow, "b")))
		time.Sleep(3 * time.Second)

		sizes, err := w.A.Sizes(w.Context())
		require.NoError(w, err)
		require.Equal(w, []monitor.QueueSize{{Queue: "default", Failed: 1, Workers: 1},
			{Queue: "media", Pending: 1, Cancelled: 1, OldestPending: sizes[1].OldestPending}}, sizes)
		require.GreaterOrEqual(w, sizes[1].OldestPending, 3*time.Second)

		one, err := w.A.Sizes(w.Context(), "media")
		require.NoError(w, err)
		require.Equal(w, sizes[1:], one)
		_, err = w.A.Sizes(w.Context(), "a/b")
		require.ErrorContains(w, err, "a/b")
	})
}
