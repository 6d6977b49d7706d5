package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// inBoth makes the same call in the namespaces shop and bank, and has both fail.
func inBoth(w *office) (shop, bank refcache.Ref) {
	w.Helper()
	s := kit.Script{Errs: []error{kit.ErrDown}}
	w.Work(s.Of(kit.Once(kit.Echo)))
	fail := func(namespace string) refcache.Ref {
		_, err := producer.Call(w.Context(), w.NewProducer(producer.Config{Namespace: namespace}), kit.Once(kit.Echo), "hi")
		return kit.TaskError(w, err).RefID
	}
	return fail("shop"), fail("bank")
}

func (w *office) listOf(a *admin.Admin, f admin.Filter) (refs []refcache.Ref, err error) {
	for info, err := range a.List(w.Context(), f) {
		if err != nil {
			return nil, err
		}
		refs = append(refs, info.RefID)
	}
	page, err := a.Page(w.Context(), f, "", 10)
	require.NoError(w, err)
	require.Len(w, page.Tasks, len(refs))
	return refs, nil
}

func TestAnAdminFindsTheCallsOfItsNamespace(t *testing.T) {
	inOffice(t, func(w *office) {
		shop, bank := inBoth(w)
		banker := w.NewAdmin(admin.Config{Namespace: "bank"})
		for name, err := range map[string]error{
			"cancel": banker.Cancel(w.Context(), shop),
			"delete": banker.Delete(w.Context(), shop),
			"task":   func() error { _, err := banker.Task(w.Context(), shop); return err }(),
			"retry":  func() error { _, err := banker.Retry(w.Context(), shop, admin.FreshBudget()); return err }(),
		} {
			require.ErrorIs(w, err, refcache.ErrTaskNotFound, name)
		}
		found, err := w.listOf(banker, admin.Filter{})
		require.NoError(w, err)
		require.Equal(w, []refcache.Ref{bank}, found)
		found, err = w.listOf(w.NewAdmin(admin.Config{}), admin.Filter{})
		require.NoError(w, err)
		require.Empty(w, found, "there is none in default")

		for _, err := range banker.List(w.Context(), admin.Filter{Namespace: "shop"}) {
			require.EqualError(w, err, `list tasks: namespace "shop": this one looks in bank only`)
		}
		_, err = banker.Page(w.Context(), admin.Filter{Namespace: "*"}, "", 1)
		require.EqualError(w, err, `list tasks: namespace "*": this one looks in bank only`)
		_, err = w.NewAdmin(admin.Config{Namespace: "no name"}).Page(w.Context(), admin.Filter{}, "", 1)
		require.ErrorContains(w, err, `list tasks: namespace: name "no name": use letters`)

		for retried, err := range banker.RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget()) {
			require.NoError(w, err)
			require.Equal(w, bank, retried.Task.RefID)
		}
		time.Sleep(time.Second) // it fails again
		require.NoError(w, banker.Delete(w.Context(), bank))
		info, err := w.NewAdmin(admin.Config{Namespace: "shop"}).Task(w.Context(), shop)
		require.NoError(w, err)
		require.Equal(w, refcache.Failed, info.Status)
	})
}

func TestAnAdminOfAllNamespacesNarrowsThem(t *testing.T) {
	inOffice(t, func(w *office) {
		shop, bank := inBoth(w)
		all := w.NewAdmin(admin.Config{Namespace: refcache.AllNamespaces})
		for namespace, want := range map[string][]refcache.Ref{"": {bank, shop}, "*": {bank, shop}, "shop": {shop}, "default": nil} {
			found, err := w.listOf(all, admin.Filter{Namespace: namespace})
			require.NoError(w, err)
			require.ElementsMatch(w, want, found, namespace)
		}
		_, err := all.Retry(w.Context(), shop, admin.FreshBudget())
		require.NoError(w, err)
	})
}

func TestHealthTellsOfCallsOfItsNamespaceAndCountsAll(t *testing.T) {
	inOffice(t, func(w *office) {
		_, err := producer.Submit(w.Context(), w.NewProducer(producer.Config{Namespace: "shop"}), kit.Echo, "hi")
		require.NoError(w, err)
		time.Sleep(2 * time.Minute)
		about := func(namespace, id string) string {
			h, err := w.NewAdmin(admin.Config{Namespace: namespace}).Health(w.Context())
			require.NoError(w, err)
			for _, f := range h.Findings() {
				if f.ID == id {
					return string(f.Level) + ": " + f.Fact
				}
			}
			return ""
		}
		for _, c := range []struct{ namespace, id, want string }{
			{"shop", "unserved", "wrong: no worker for echo@1 in queue default (calls: 1) of namespace shop"},
			{"*", "unserved", "wrong: no worker for echo@1 in queue default (calls: 1)"},
			{"bank", "unserved", "ok: every pending or retrying call of namespace bank has a worker for its function"},
			{"shop", "oldest_pending", "warning: pending for 2m0s in queue default; pending there in all namespaces: 1"},
			{"*", "oldest_pending", "warning: pending for 2m0s in queue default; pending there: 1"},
			{"bank", "oldest_pending", "ok: no call of namespace bank is pending; pending in all namespaces: 1"},
			{"bank", "workers", "wrong: no worker is alive, and calls wait in all namespaces: 1"},
		} {
			require.Equal(w, c.want, about(c.namespace, c.id), "%s in %s", c.id, c.namespace)
		}
	})
}
