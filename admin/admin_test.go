package admin_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestNewTalksToNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.SetFaults(func(cmd []string) memredis.Fault {
			require.Fail(w, "unexpected command", "%q", cmd)
			return memredis.Pass
		})
		a := admin.New(w.rdb, admin.Config{})
		require.NoError(w, a.As("bob").Close())
		require.NoError(w, a.Close(), "closing twice does no harm")
	})
}

func TestEventsNameUserAndHostUnlessToldOtherwise(t *testing.T) {
	inWorld(t, func(w *world) {
		host, err := os.Hostname()
		require.NoError(w, err)
		ref := w.submit(echo, "hi")
		require.NoError(w, w.admin("").Cancel(w.Context(), ref))
		by := w.info(ref).Events[0].By
		require.True(w, strings.HasSuffix(by, "@"+host), by)
		require.NotEqual(w, "@"+host, by)
	})
}

// Whoever acts in the name of others is named by all that it does, and nobody else by it.
func TestEventsNameInWhoseNameAnAdminActs(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown}}
		w.start(s.of(once(echo)))
		ref := failNow(w, false)
		other := w.submit(once(echo), "ho")
		w.until(other, refcache.Failed)

		_, err := w.a.As("bob").Retry(w.Context(), ref, admin.FreshBudget())
		require.NoError(w, err)
		w.until(ref, refcache.Failed)
		for r, err := range w.a.As("cat").RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget()) {
			require.NoError(w, err)
			require.NoError(w, r.Err)
		}
		require.Equal(w, []string{"bob", "cat"}, by(w.info(ref)))
		require.Equal(w, []string{"cat"}, by(w.info(other)))
		w.until(ref, refcache.Failed)
		_, err = w.a.Retry(w.Context(), ref, admin.FreshBudget(), admin.RetryOption{})
		require.NoError(w, err)
		require.Equal(w, []string{"bob", "cat", "ann@desk"}, by(w.info(ref)))
	})
}

func by(info refcache.TaskInfo) (names []string) {
	for _, e := range info.Events {
		names = append(names, e.By)
	}
	return names
}

func TestTheZeroRetryOptionChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start((&script{errs: []error{errDown}}).of(once(echo)))
		_, err := w.a.Retry(w.Context(), failNow(w, false), admin.RetryOption{})
		require.ErrorIs(w, err, refcache.ErrRetriesExhausted)
	})
}

func TestAnAdminCountsItsCancelsAndCloseFlushesThem(t *testing.T) {
	inWorld(t, func(w *world) {
		a := admin.New(w.client(), admin.Config{})
		ref := w.submit(echo, "hi")
		require.NoError(w, a.As("bob").Cancel(w.Context(), ref))
		require.NoError(w, a.Cancel(w.Context(), ref), "again")
		require.EqualValues(w, 1, a.Counts()[0].Cancelled)
		require.NoError(w, a.Close())
		stats, err := w.a.Stats(w.Context(), "default")
		require.NoError(w, err)
		require.EqualValues(w, 1, stats.Functions[0].Cancelled)
	})
}

func TestAnAdminCountsErrorsOfRedis(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.SetFaults(func([]string) memredis.Fault { return "ERR no" })
		_, err := w.a.Retry(w.Context(), unknown)
		require.ErrorContains(w, err, "ERR no")
		require.EqualValues(w, 1, w.a.RedisErrors()["read"])
		w.server.SetFaults(nil)
	})
}

// An Admin knows nobody's memory: its Delete reaches every producer by message.
func TestWhatAnAdminDeletesIsForgottenByProducersThatKeepIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start((&script{}).of(echo))
		p := w.producer(producer.Config{LocalCache: producer.LocalCache{Entries: 10, Stale: time.Hour}})
		res, err := producer.Call(w.Context(), p, echo, "hi")
		require.NoError(w, err)
		time.Sleep(time.Second) // the first use of the queue subscribes to its messages
		_, err = p.Get(w.Context(), res.RefID)
		require.NoError(w, err)
		w.server.SetFaults(func(cmd []string) memredis.Fault { require.NotEqual(w, "EVALSHA", cmd[0]); return memredis.Pass })
		_, err = p.Get(w.Context(), res.RefID)
		require.NoError(w, err, "from memory")
		w.server.SetFaults(nil)

		require.NoError(w, w.a.Delete(w.Context(), res.RefID))
		time.Sleep(100 * time.Millisecond)
		_, err = p.Get(w.Context(), res.RefID)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
	})
}
