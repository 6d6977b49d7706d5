package admin_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// pages walks page by page, and does something between two of them.
func (w *world) pages(f admin.Filter, n int, between func()) (refs []refcache.Ref, searched []int) {
	w.Helper()
	for from := admin.Cursor(""); ; {
		page, err := w.a.Page(w.Context(), f, from, n)
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
	inWorld(t, func(w *world) {
		media, slow := echo, refcache.Func[string, string]{Name: "slow", Queue: "media"}
		media.Queue = "media"
		held := script{hold: make(chan struct{})}
		w.start(held.of(slow))
		for n := range 8 {
			w.until(w.submit(slow, fmt.Sprint(n)), refcache.Processing)
		}
		for n := range 120 {
			f := []refcache.Func[string, string]{echo, media}[n%2]
			ref := w.submit(f, fmt.Sprint(n))
			if n%3 == 0 {
				require.NoError(w, w.a.Cancel(w.Context(), ref))
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
	inWorld(t, func(w *world) {
		var s script
		w.start(s.of(echo))
		end := func(inputs []string, o ...producer.CallOption) (refs []refcache.Ref) { // many in an instant
			for _, in := range inputs {
				refs = append(refs, w.submit(echo, in, o...))
			}
			for _, ref := range refs {
				w.until(ref, refcache.Complete)
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
		require.NoError(w, w.a.Delete(w.Context(), rest[0]))
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
			w.until(w.submit(echo, fmt.Sprint("other ", others)), refcache.Complete)
		})
		require.Equal(w, want, paged)
	})
}

func TestWhatOthersDoBetweenTwoPagesHidesAndRepeatsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		var kept []refcache.Ref
		passing := map[refcache.Ref]bool{}
		for n := range 60 {
			ref := w.submit(echo, fmt.Sprint(n))
			if n%2 == 0 {
				passing[ref] = true
			} else {
				kept = append(kept, ref)
			}
		}
		met := map[refcache.Ref]int{}
		paged, _ := w.pages(admin.Filter{Status: refcache.Pending}, 7, func() {
			w.submit(echo, fmt.Sprint("new ", len(passing)))
			for ref := range passing {
				require.NoError(w, w.a.Cancel(w.Context(), ref))
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
	inWorld(t, func(w *world) {
		for n := range 2100 {
			w.submit(echo, fmt.Sprint(n))
		}
		other := w.submit(refcache.Func[string, string]{Name: "other", Queue: "elsewhere"}, "")
		time.Sleep(time.Second)
		w.submit(echo, "the latest")
		found, searched := w.pages(admin.Filter{Func: "other"}, 10, func() {})
		require.Equal(w, []refcache.Ref{other}, found)
		require.Equal(w, []int{2000, 102}, searched)
	})
}

func TestWhatIsNoCursorIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, text := range []admin.Cursor{"x", "MSB4IHk", "!", "MTIzIHBlbmRpbmcgZGVmYXVsdDp4"} {
			_, err := w.a.Page(w.Context(), admin.Filter{}, text, 1)
			require.ErrorIs(w, err, admin.ErrInvalidCursor, text)
		}
	})
}

func TestEventsNameWhoActedInTheNameOfOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit(echo, "x")
		require.NoError(w, w.a.As("bob").Cancel(w.Context(), ref))
		require.Equal(w, "bob", w.info(ref).Events[0].By)
		again := w.submit(echo, "y")
		require.NoError(w, w.a.Cancel(w.Context(), again))
		require.Equal(w, "ann@desk", w.info(again).Events[0].By)
	})
}
