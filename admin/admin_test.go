package admin_test

import (
	"os"
	"strings"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestNewTalksToNobody(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			require.Fail(w, "unexpected command", "%q", cmd)
			return memredis.Pass
		})
		a := admin.New(w.Redis, admin.Config{})
		require.NoError(w, a.As("bob").Close())
		require.NoError(w, a.Close(), "closing twice does no harm")
	})
}

func TestEventsNameUserAndHostUnlessToldOtherwise(t *testing.T) {
	inOffice(t, func(w *office) {
		host, err := os.Hostname()
		require.NoError(w, err)
		ref := w.Submit(kit.Echo, "hi")
		require.NoError(w, w.AdminAs("").Cancel(w.Context(), ref))
		by := w.Info(ref).Events[0].By
		require.True(w, strings.HasSuffix(by, "@"+host), by)
		require.NotEqual(w, "@"+host, by)
	})
}

// Whoever acts in the name of others is named by all that it does, and nobody else by it.
func TestEventsNameInWhoseNameAnAdminActs(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown}}
		w.Work(s.Of(kit.Once(kit.Echo)))
		ref := failNow(w, false)
		other := w.Submit(kit.Once(kit.Echo), "ho")
		w.Until(other, refcache.Failed)

		_, err := w.A.As("bob").Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		w.Until(ref, refcache.Failed)
		for r, err := range w.A.As("cat").RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget()) {
			require.NoError(w, err)
			require.NoError(w, r.Err)
		}
		require.Equal(w, []string{"bob", "cat"}, by(w.Info(ref)))
		require.Equal(w, []string{"cat"}, by(w.Info(other)))
		w.Until(ref, refcache.Failed)
		_, err = w.A.Retry(w.Context(), ref, admin.FreshBudget(), admin.RetryOption{})
		require.NoError(w, err)
		require.Equal(w, []string{"bob", "cat", "ann@desk"}, by(w.Info(ref)))
	})
}

func by(info refcache.TaskInfo) (names []string) {
	for _, e := range info.Events {
		names = append(names, e.By)
	}
	return names
}

func TestTheZeroRetryOptionChangesNothing(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{Errs: []error{kit.ErrDown}}).Of(kit.Once(kit.Echo)))
		_, err := w.A.Retry(w.Context(), failNow(w, false), admin.RetryOption{})
		require.ErrorIs(w, err, refcache.ErrRetriesExhausted)
	})
}

func TestAnAdminCountsItsCancelsAndCloseFlushesThem(t *testing.T) {
	inOffice(t, func(w *office) {
		a := admin.New(w.Client(), admin.Config{})
		ref := w.Submit(kit.Echo, "hi")
		require.NoError(w, a.As("bob").Cancel(w.Context(), ref))
		require.NoError(w, a.Cancel(w.Context(), ref), "again")
		require.EqualValues(w, 1, a.Counts()[0].Cancelled)
		require.NoError(w, a.Close())
		stats, err := w.A.Stats(w.Context(), "default")
		require.NoError(w, err)
		require.EqualValues(w, 1, stats.Functions[0].Cancelled)
	})
}

func TestAnAdminCountsErrorsOfRedis(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		_, err := w.A.Retry(w.Context(), unknown)
		require.ErrorContains(w, err, "ERR no")
		require.EqualValues(w, 1, w.A.RedisErrors()["read"])
		w.Server.SetFaults(nil)
	})
}

// An Admin knows nobody's memory: its Delete reaches every producer by message.
func TestWhatAnAdminDeletesIsForgottenByProducersThatKeepIt(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		p := w.NewProducer(producer.Config{LocalCache: producer.LocalCache{Entries: 10, Stale: time.Hour}})
		res, err := producer.Call(w.Context(), p, kit.Echo, "hi")
		require.NoError(w, err)
		time.Sleep(time.Second) // the first use of the queue subscribes to its messages
		_, err = p.Get(w.Context(), res.RefID)
		require.NoError(w, err)
		w.Server.SetFaults(func(cmd []string) memredis.Fault { require.NotEqual(w, "EVALSHA", cmd[0]); return memredis.Pass })
		_, err = p.Get(w.Context(), res.RefID)
		require.NoError(w, err, "from memory")
		w.Server.SetFaults(nil)

		require.NoError(w, w.A.Delete(w.Context(), res.RefID))
		time.Sleep(100 * time.Millisecond)
		_, err = p.Get(w.Context(), res.RefID)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
	})
}
