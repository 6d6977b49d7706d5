package admin_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// pages walks page by page, and does something between two of them.
func (w *office) pages(f admin.Filter, n int, between func()) (refs []refcache.Ref, searched []int) {
	w.Helper()
	for from := admin.Cursor(""); ; {
		page, err := w.A.Page(w.Context(), f, from, n)
		require.NoError(w, err)
		for _, info := range page.Tasks {
			refs = append(refs, info.RefID)
		}
		require.LessOrEqual(w, len(page.Tasks), n)
		searched = append(searched, page.Searched)
		if from = page.Next; from == "" {
			return refs, searched
		}
		between()
	}
}

func TestPagesMakeUpTheList(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		media, slow := kit.Echo, refcache.Func[string, string]{Name: "slow", Queue: "media"}
		media.Queue = "media"
		held := kit.Script{Hold: make(chan struct{})}
		w.Work(held.Of(slow))
		for n := range 8 {
			w.Until(w.Submit(slow, fmt.Sprint(n)), refcache.Processing)
		}
		for n := range 120 {
			f := []refcache.Func[string, string]{kit.Echo, media}[n%2]
			ref := w.Submit(f, fmt.Sprint(n))
			if n%3 == 0 {
				require.NoError(w, w.A.Cancel(w.Context(), ref))
			}
			time.Sleep(time.Duration(n/40) * time.Millisecond) // the first forty share an instant
		}
		list := w.list(admin.Filter{})
		require.Len(w, list, 128)
		for _, n := range []int{1, 7, 100, 128, 500} {
			paged, _ := w.pages(admin.Filter{}, n, func() {})
			require.Equal(w, list, paged, "%d a page", n)
		}
	})
}

// Complete calls are listed by their ends, and an end stays listed when its call is made again.
func TestPagesOfCompleteCallsShowEachOnceWhereItEndedLast(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		var s kit.Script
		w.Work(s.Of(kit.Echo))
		end := func(inputs []string, o ...producer.CallOption) (refs []refcache.Ref) { // many in an instant
			for _, in := range inputs {
				refs = append(refs, w.Submit(kit.Echo, in, o...))
			}
			for _, ref := range refs {
				w.Until(ref, refcache.Complete)
			}
			return refs
		}
		var inputs []string
		for n := range 40 {
			inputs = append(inputs, fmt.Sprint(n))
		}
		rest := end(inputs)
		time.Sleep(time.Second)
		again := end(inputs[5:15], producer.Refresh())
		rest = slices.Delete(rest, 5, 15)
		require.NoError(w, w.A.Delete(w.Context(), rest[0]))
		want := w.list(admin.Filter{Status: refcache.Complete})
		require.ElementsMatch(w, again, want[:10])
		require.ElementsMatch(w, rest[1:], want[10:])
		for _, n := range []int{1, 3, 7, 39, 100} {
			paged, _ := w.pages(admin.Filter{Status: refcache.Complete}, n, func() {})
			require.Equal(w, want, paged, "%d a page", n)
			paged, _ = w.pages(admin.Filter{}, n, func() {})
			require.Equal(w, want, paged, "%d a page", n)
		}

		others := 0
		paged, _ := w.pages(admin.Filter{Status: refcache.Complete}, 7, func() { // others end meanwhile
			others++
			w.Until(w.Submit(kit.Echo, fmt.Sprint("other ", others)), refcache.Complete)
		})
		require.Equal(w, want, paged)
	})
}

func TestWhatOthersDoBetweenTwoPagesHidesAndRepeatsNothing(t *testing.T) {
	inOffice(t, func(w *office) {
		var kept []refcache.Ref
		passing := map[refcache.Ref]bool{}
		for n := range 60 {
			ref := w.Submit(kit.Echo, fmt.Sprint(n))
			if n%2 == 0 {
				passing[ref] = true
			} else {
				kept = append(kept, ref)
			}
		}
		met := map[refcache.Ref]int{}
		paged, _ := w.pages(admin.Filter{Status: refcache.Pending}, 7, func() {
			w.Submit(kit.Echo, fmt.Sprint("new ", len(passing)))
			for ref := range passing {
				require.NoError(w, w.A.Cancel(w.Context(), ref))
				delete(passing, ref)
				break
			}
		})
		for _, ref := range paged {
			met[ref]++
		}
		for _, ref := range kept {
			require.Equal(w, 1, met[ref])
		}
	})
}

func TestAPageSearchesABoundedNumberOfTasks(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		for n := range 2100 {
			w.Submit(kit.Echo, fmt.Sprint(n))
		}
		other := w.Submit(refcache.Func[string, string]{Name: "other", Queue: "elsewhere"}, "")
		time.Sleep(time.Second)
		w.Submit(kit.Echo, "the latest")
		found, searched := w.pages(admin.Filter{Func: "other"}, 10, func() {})
		require.Equal(w, []refcache.Ref{other}, found)
		require.Equal(w, []int{2000, 102}, searched)
	})
}

func TestWhatIsNoCursorIsRefused(t *testing.T) {
	inOffice(t, func(w *office) {
		for _, text := range []admin.Cursor{"x", "MSB4IHk", "!", "MTIzIHBlbmRpbmcgZGVmYXVsdDp4"} {
			_, err := w.A.Page(w.Context(), admin.Filter{}, text, 1)
			require.ErrorIs(w, err, admin.ErrInvalidCursor, text)
		}
	})
}

func TestEventsNameWhoActedInTheNameOfOthers(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "x")
		require.NoError(w, w.A.As("bob").Cancel(w.Context(), ref))
		require.Equal(w, "bob", w.Info(ref).Events[0].By)
		again := w.Submit(kit.Echo, "y")
		require.NoError(w, w.A.Cancel(w.Context(), again))
		require.Equal(w, "ann@desk", w.Info(again).Events[0].By)
	})
}
