package store_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
)

// scriptsOf are the scripts of a role; dequeue_and_claim is put together of others' texts, and has a test of its own.
var scriptsOf = map[store.Role]string{
	store.Producer: "submit read retry cancel delete invalidate unserved declared count wake_for new_delivery",
	store.Worker: `claim finish heartbeat remove_worker sweep sweep_gates enter due declare progress redeliver new_delivery wake_for count
		sizes pauses gates_read`,
	store.Operator: `submit read retry cancel delete invalidate unserved declared count wake_for new_delivery page completions listed pause
		resume pauses overview sizes pause_gate set_gate gates_read gate_read`,
}

func TestEachRoleHasTheRightsOfItsScripts(t *testing.T) {
	t.Parallel()
	for role, scripts := range scriptsOf {
		rights := store.Rights(role, store.Needs("*"))
		for name := range strings.FieldsSeq(scripts) {
			for _, call := range regexp.MustCompile(`\b(?:p?call|try)\('([A-Z]+)'`).FindAllStringSubmatch(store.Assembled(name), -1) {
				right := "+" + strings.ToLower(call[1])
				if strings.HasSuffix(right, "publish") {
					right = "+@pubsub"
				}
				require.Contains(t, rights, right, "%s of role %d", name, role)
			}
		}
	}
	all := store.Rights(store.Everybody, store.Needs("*"))
	require.Equal(t, len(all), len(slices.Compact(slices.Sorted(slices.Values(all)))), "each once")
	for role := range scriptsOf {
		require.Subset(t, all, store.Rights(role, store.Needs("*")))
		require.Less(t, len(store.Rights(role, store.Needs("*"))), len(all))
	}
}
