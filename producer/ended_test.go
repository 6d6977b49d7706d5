package producer_test

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/refcache"
)

// The end came with its message; before the caller has read the history, somebody retries the task.
func TestTheErrorOfACallIsOfTheEndThatItTells(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start((&script{errs: []error{errDown}}).of(once(echo)))
		other := w.admin("bob")
		var met atomic.Bool
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			if slices.Contains(cmd, "history") && !met.Swap(true) {
				for task := range other.List(w.Context(), admin.Filter{}) {
					_, _ = other.Retry(w.Context(), task.RefID, admin.FreshBudget())
				}
			}
			return memredis.Pass
		})
		_, err := w.call(once(echo), "x")
		require.True(w, met.Load())
		require.Equal(w, refcache.Failed, taskError(w, err).Status)
		require.Equal(w, 1, taskError(w, err).Cycle)
	})
}
