package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/monitor"
)

func TestSizesCountWhatIsInEachQueue(t *testing.T) {
	inWorld(t, func(w *world) {
		slow := echo
		slow.Name, slow.Queue = "slow", "media"
		none, err := w.a.Sizes(w.Context())
		require.NoError(w, err)
		require.Empty(w, none)

		w.start((&script{errs: []error{errDown}}).of(once(echo)))
		_, err = w.call(once(echo), "x")
		require.Error(w, err)
		w.submit(slow, "a")
		require.NoError(w, w.a.Cancel(w.Context(), w.submit(slow, "b")))
		time.Sleep(3 * time.Second)

		sizes, err := w.a.Sizes(w.Context())
		require.NoError(w, err)
		require.Equal(w, []monitor.QueueSize{{Queue: "default", Failed: 1, Workers: 1},
			{Queue: "media", Pending: 1, Cancelled: 1, OldestPending: sizes[1].OldestPending}}, sizes)
		require.GreaterOrEqual(w, sizes[1].OldestPending, 3*time.Second)

		one, err := w.a.Sizes(w.Context(), "media")
		require.NoError(w, err)
		require.Equal(w, sizes[1:], one)
		_, err = w.a.Sizes(w.Context(), "a/b")
		require.ErrorContains(w, err, "a/b")
	})
}
