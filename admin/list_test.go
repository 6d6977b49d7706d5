package admin_test

import (
	"fmt"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func (w *office) list(f admin.Filter) []refcache.Ref {
	w.Helper()
	refs := []refcache.Ref{}
	for info, err := range w.A.List(w.Context(), f) {
		require.NoError(w, err)
		refs = append(refs, info.RefID)
	}
	return refs
}

func TestListIsLatestFirstOverPagesAndQueues(t *testing.T) {
	inOffice(t, func(w *office) {
		media := kit.Echo
		media.Queue = "media"
		var made []refcache.Ref
		for n := range 250 {
			f := kit.Echo
			if n%3 == 0 {
				f = media
			}
			made = append(made, w.Submit(f, fmt.Sprint(n)))
			time.Sleep(time.Duration(n%2) * time.Millisecond) // every other one shares its instant
		}
		var listed []refcache.Ref
		before := time.Now().Add(time.Second)
		for info, err := range w.A.List(w.Context(), admin.Filter{}) {
			require.NoError(w, err)
			require.False(w, info.CreatedAt.After(before))
			listed, before = append(listed, info.RefID), info.CreatedAt
		}
		require.ElementsMatch(w, made, listed)
		require.Len(w, w.list(admin.Filter{Queue: "media"}), 84)
		require.Empty(w, w.list(admin.Filter{Queue: "nobody"}))
	})
}

func TestListFiltersByStatusAndFunction(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown}}
		slow := refcache.Func[string, string]{Name: "slow"}
		held := kit.Script{Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo), held.Of(slow))
		failed, running := failNow(w, false), w.Submit(slow, "x")
		w.Until(running, refcache.Processing)
		cancelled := w.Submit(refcache.Func[string, string]{Name: "nobody"}, "x")
		require.NoError(w, w.A.Cancel(w.Context(), cancelled))

		require.Equal(w, []refcache.Ref{failed}, w.list(admin.Filter{Status: refcache.Failed}))
		require.Equal(w, []refcache.Ref{running}, w.list(admin.Filter{Status: refcache.Processing}))
		require.Equal(w, []refcache.Ref{cancelled}, w.list(admin.Filter{Status: refcache.Cancelled}))
		require.Equal(w, []refcache.Ref{running}, w.list(admin.Filter{Func: "slow"}))
		require.Len(w, w.list(admin.Filter{}), 3)
	})
}

func TestListStopsWhenItsReaderDoesAndLeavesOutWhatHasExpired(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		w.Work(s.Of(kit.Echo))
		short := kit.Echo
		short.TTL = time.Second
		_, err := producer.Call(w.Context(), w.P, short, "short")
		require.NoError(w, err)
		res, err := producer.Call(w.Context(), w.P, kit.Echo, "long")
		require.NoError(w, err)
		time.Sleep(2 * time.Second)
		require.Equal(w, []refcache.Ref{res.RefID}, w.list(admin.Filter{}))
		for range w.A.List(w.Context(), admin.Filter{}) {
			break
		}
	})
}

func TestListEndsAtTheFirstError(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Server.Close()
		n := 0
		for _, err := range w.A.List(w.Context(), admin.Filter{}) {
			require.ErrorContains(w, err, "connection refused")
			n++
		}
		require.Equal(w, 1, n)
		_, bad := next(w.A.List(w.Context(), admin.Filter{Queue: "a/b"}))
		require.ErrorContains(w, bad, `queue "a/b"`)
		_, bad = next(w.A.List(w.Context(), admin.Filter{Queue: "default", Status: "done"}))
		require.EqualError(w, bad, `list tasks: status "done": use one of [waiting pending processing retrying complete failed cancelled]`)
	})
}

func next(seq func(func(refcache.TaskInfo, error) bool)) (info refcache.TaskInfo, err error) {
	for info, err = range seq {
		break
	}
	return info, err
}
