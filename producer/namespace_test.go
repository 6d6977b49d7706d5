package producer_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// A program of one team must not read, wait for, retry, cancel or delete the calls of another by accident.
func TestCallsOfAnotherNamespaceAreNotFound(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		w.Work(s.Of(kit.Echo))
		shop, bank := w.NewProducer(producer.Config{Namespace: "shop", LocalCache: producer.LocalCache{Entries: 10}}), w.NewProducer(producer.Config{Namespace: "bank"})
		res, err := producer.Call(w.Context(), shop, kit.Echo, "hi")
		require.NoError(w, err)
		synctest.Wait() // the doorbell is acknowledged
		before := w.Server.Dump()
		for name, look := range map[string]func() error{
			"Get":        func() error { _, err := bank.Get(w.Context(), res.RefID); return err },
			"Get of f":   func() error { _, err := producer.Get(w.Context(), bank, kit.Echo, res.RefID); return err },
			"Wait":       func() error { _, err := bank.Wait(w.Context(), res.RefID); return err },
			"Info":       func() error { _, err := bank.Info(w.Context(), res.RefID); return err },
			"Retry":      func() error { _, err := bank.Retry(w.Context(), res.RefID); return err },
			"Cancel":     func() error { return bank.Cancel(w.Context(), res.RefID) },
			"Delete":     func() error { return bank.Delete(w.Context(), res.RefID) },
			"kept there": func() error { _, err := bank.Get(w.Context(), res.RefID); return err },
		} {
			require.ErrorIs(w, look(), refcache.ErrTaskNotFound, name)
		}
		require.Equal(w, before, w.Server.Dump())
		again, err := shop.Get(w.Context(), res.RefID)
		require.NoError(w, err)
		require.True(w, again.IsComplete)
	})
}

func TestAProducerOfAllNamespacesOnlyReads(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		w.Work(s.Of(kit.Echo))
		all := w.NewProducer(producer.Config{Namespace: refcache.AllNamespaces})
		shop := w.NewProducer(producer.Config{Namespace: "shop"})
		for _, p := range []*producer.Producer{w.P, shop} {
			res, err := producer.Call(w.Context(), p, kit.Echo, "hi")
			require.NoError(w, err)
			seen, err := producer.Wait(w.Context(), all, kit.Echo, res.RefID)
			require.NoError(w, err)
			require.Equal(w, "hi!", seen.Value)
			const reads = "a producer of all namespaces only reads"
			require.ErrorContains(w, all.Delete(w.Context(), res.RefID), reads)
			require.ErrorContains(w, all.Cancel(w.Context(), res.RefID), reads)
			_, err = all.Retry(w.Context(), res.RefID)
			require.ErrorContains(w, err, reads)
		}
		_, err := producer.Do(w.Context(), all, kit.Echo, "hi")
		require.ErrorContains(w, err, "a producer of all namespaces only reads")
	})
}
