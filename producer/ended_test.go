package producer_test

import (
	"slices"
	"sync/atomic"
	"testing"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/refcache"
)

// The end came with its message; before the caller has read the history, somebody retries the task.
func TestTheErrorOfACallIsOfTheEndThatItTells(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{Errs: []error{kit.ErrDown}}).Of(kit.Once(kit.Echo)))
		other := w.AdminAs("bob")
		var met atomic.Bool
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if slices.Contains(cmd, "history") && !met.Swap(true) {
				for task := range other.List(w.Context(), admin.Filter{}) {
					_, _ = other.Retry(w.Context(), task.RefID, admin.FreshBudget())
				}
			}
			return memredis.Pass
		})
		_, err := w.Call(kit.Once(kit.Echo), "x")
		require.True(w, met.Load())
		require.Equal(w, refcache.Failed, kit.TaskError(w, err).Status)
		require.Equal(w, 1, kit.TaskError(w, err).Cycle)
	})
}
