package ui_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// rows are the ref_ids that a list shows.
func rows(body string) (all []string) {
	for _, m := range regexp.MustCompile(`<tr id="([^"]+)">`).FindAllStringSubmatch(body, -1) {
		all = append(all, m[1])
	}
	return all
}

// link is where a link with this text leads; empty: there is none.
func link(body, text string) string {
	m := regexp.MustCompile(`href="([^"]+)"[^>]*>` + regexp.QuoteMeta(text) + `</a>`).FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

func (w *world) shows(path string) string {
	w.Helper()
	a := w.get(path)
	require.Equal(w, http.StatusOK, a.code, a.body)
	return a.body
}

func TestTheListOfCalls(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fails(errRefused, worker.Permanent(errRefused), nil, worker.RetryAfter(errRefused, time.Hour))
		w.ended(w.charge(`"failed"`))
		w.ended(w.charge(`"complete"`))
		w.charge(`"retrying"`)
		time.Sleep(time.Second)
		pending := w.call("absent", `1`)
		require.NoError(w, w.p.Cancel(w.Context(), w.call("absent", `"cancelled"`)))
		time.Sleep(time.Minute)
		w.golden("calls", w.get("/calls"))
		require.Equal(w, []string{string(pending)}, rows(w.shows("/calls?queue=media&status=pending")))
		require.Contains(w, w.shows("/calls"), `data-live="queues"`)
	})
}

func TestAWaitingCallIsListedCountedAndCancelledByTheThousand(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		gated := charge
		gated.Gate, gated.TurnFields = refcache.Gate{Name: "maps", Each: 1}, refcache.TurnFields{Key: []string{"/host"}}
		ref, err := producer.Submit(w.Context(), w.p, gated, raw(`{"host":"http://a"}`))
		require.NoError(w, err)
		page := w.page(ref)
		require.Contains(w, page, "Waits for its turn")
		require.Contains(w, page, "1st of key http://a, and no worker has declared gate maps")
		require.Contains(w, w.shows("/calls?status=waiting"), "waits for its turn at gate maps, key http://a")
		time.Sleep(time.Minute)
		page = w.page(ref)
		require.Equal(w, []string{"cancel"}, buttons(page, ref))
		require.Contains(w, page, "no living worker serves queue default")
		require.Contains(w, page, `Held up <span class="took">1 min</span>`)
		require.NotContains(w, page, `href="/queues/queues/`, "there is no doorbell")

		list := w.shows("/calls?status=waiting")
		require.Equal(w, []string{string(ref)}, rows(list))
		require.Contains(w, list, "no living worker serves queue default")
		require.Regexp(w, `id="tile-waiting".*<span class="figure">1</span>`, w.shows("/"))
		require.Contains(w, w.shows(link(list, "Cancel these…")), "Cancel 1 waiting call")
		require.Contains(w, w.post("/calls/cancel", url.Values{"status": {"waiting"}}).body, "Cancelled 1 call.")
		require.Equal(w, refcache.Cancelled, w.info(ref).Status)
	})
}

func TestAnEmptyListSaysWhatToDo(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		require.Contains(w, w.shows("/calls"), "refq call absent")
		body := w.shows("/calls?status=failed&func=echo&queue=media&error=%3Cb%3E&since=1h")
		require.Contains(w, body, "No such calls of echo in queue media with “&lt;b&gt;” in the error of the last 1 h, failed.")
		require.NotContains(w, body, "refq call")
	})
}

func TestAListThatCannotBeIsRefused(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		for _, query := range []string{"status=lost", "queue=a/b", "since=soon", "func=%00", "cursor=x", "searched=-1", "searched=x", "%zz"} {
			a := w.get("/calls?" + query)
			require.Equal(w, http.StatusBadRequest, a.code, query)
			require.Contains(w, a.body, "<h1", query)
		}
	})
}

func TestAListGoesOnPageByPage(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		for n := range 120 {
			w.charge(fmt.Sprint(n))
		}
		met := map[string]bool{}
		path := "/calls?status=pending"
		for _, line := range []string{"Searched 50 of 120, continue.", "Searched 100 of 120, continue.", "Searched 120 of 120."} {
			body := w.shows(path)
			require.Contains(w, body, line)
			for _, ref := range rows(body) {
				met[ref] = true
			}
			require.Equal(w, len(met) == 120, link(body, "Next") == "")
			require.Equal(w, path == "/calls?status=pending", strings.Contains(body, `data-live=`), "only the first page follows")
			if path != "/calls?status=pending" {
				require.Equal(w, "/calls?status=pending", link(body, "First"))
			}
			path = link(body, "Next")
		}
		require.Len(w, met, 120)
	})
}

func TestANarrowListSearchesNoMoreThanItSays(t *testing.T) {
	testkit.Long(t)
	inWorld(t, setup{}, func(w *world) {
		for n := range 2050 {
			w.charge(fmt.Sprint(n))
		}
		body := w.shows("/calls?func=echo")
		require.Empty(w, rows(body))
		require.Contains(w, body, "None so far.")
		require.Contains(w, body, "Searched 2,000 of 2,050, continue.")
		require.NotContains(w, body, "data-live", "searching is too much work to do at every change")
		body = w.shows(link(body, "Continue"))
		require.Contains(w, body, "Searched 2,050 of 2,050.")
	})
}

// failsAll makes calls that fail for good, each with one of the errors.
func (w *world) failsAll(errs ...error) (refs []refcache.Ref) {
	for i := range errs {
		errs[i] = worker.Permanent(errs[i])
	}
	w.fails(errs...)
	for n := range errs {
		refs = append(refs, w.ended(w.charge(fmt.Sprint(n))))
	}
	return refs
}

func TestFailuresAreGroupedByLikeErrors(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		refs := w.failsAll(errors.New("user 12345: no <card>"), errors.New("user 23456: no <card>"), errors.New("timeout"))
		body := w.shows(link(w.shows("/calls?status=failed"), "Grouped by error"))
		require.Regexp(w, `data-label="Calls">2</td><td>charge</td><td class="wide"><a class="error" href="[^"]+">user …: no &lt;card&gt;</a>`, body)
		require.Regexp(w, `data-label="Calls">1</td><td>charge</td><td class="wide"><a class="error" href="[^"]+">timeout</a>`, body)
		require.ElementsMatch(w, []string{string(refs[0]), string(refs[1])}, rows(w.shows(link(body, "user …: no &lt;card&gt;"))))
		require.Equal(w, "/calls/retry?error=%3A+no+%3Ccard%3E&func=charge&status=failed", link(body, "Retry…"))
	})
}

func TestListsDoNotTellWhatIsHidden(t *testing.T) {
	inWorld(t, setup{redact: []string{`secret-\d+`}}, func(w *world) {
		w.failsAll(errors.New("bad secret-123"), errors.New("bad secret-4567"))
		require.Len(w, rows(w.shows("/calls?error=bad")), 2)
		require.Empty(w, rows(w.shows("/calls?error=secret-1")), "whoever guesses is not told")
		require.Contains(w, w.shows("/calls/retry?error=secret-1"), "No failed calls")
		body := w.shows("/calls?status=failed&group=error")
		require.NotContains(w, body, "secret")
		require.Contains(w, body, `data-label="Calls">2</td>`)
		require.Len(w, rows(w.shows(link(body, "bad ***"))), 2)
	})
}

func TestListsShowWhatStrangersWroteAsText(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.failsAll(errors.New(`"><script>alert(1)</script>`))
		for _, path := range []string{"/calls", "/calls?status=failed&group=error", "/calls/retry", `/calls?error=%22%3E%3Cscript%3Ealert(1)`, "/calls/retry?error=%22%3E%3Cscript%3Ealert(1)"} {
			body := w.shows(path)
			require.NotContains(w, body, "<script>alert", path)
			require.Contains(w, body, "script&gt;alert(", path)
		}
	})
}

func TestACallThatCannotBeReadIsListed(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.charge(`1`)
		rdb := w.Server.Client()
		defer rdb.Close()
		require.NoError(w, storetest.Set(w.Context(), rdb, "refq:{default}:t:"+ref.Hash(), "created_at", "<x>"))
		body := w.shows("/calls")
		require.Equal(w, []string{string(ref)}, rows(body))
		require.Contains(w, body, "created_at is &#34;&lt;x&gt;&#34;")
	})
}

func TestManyAreRetriedAfterTheyWereCounted(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		refs := w.failsAll(errors.New("down 1"), errors.New("down 2"), errors.New("up"))
		other := charge
		other.Name, other.Queue, other.Retry.MaxRetries = "other", "media", refcache.NoRetries
		w.runs(other, func(_ context.Context, in raw) (raw, error) { return nil, errors.New("down too") })
		exhausted, err := producer.Submit(w.Context(), w.p, other, raw(`1`))
		require.NoError(w, err)
		w.ended(exhausted)

		ask := link(w.shows("/calls?status=failed&error=down"), "Retry these…")
		w.golden("bulk", w.get(ask))
		require.Equal(w, refcache.Failed, w.info(refs[0]).Status, "nobody has confirmed it")
		form := url.Values{"status": {"failed"}, "error": {"down"}}
		a := w.post("/calls/retry", form)
		require.Equal(w, http.StatusOK, a.code)
		require.Contains(w, a.body, "Retried 2 calls with “down” in the error.")
		require.Contains(w, a.body, "1 had no retries left: only a fresh budget helps.")
		require.NotContains(w, a.body, "Go on")
		for _, ref := range refs[:2] {
			w.ended(ref)
			require.Equal(w, refcache.Complete, w.info(ref).Status)
			require.Equal(w, "anybody@192.0.2.7", w.info(ref).Events[0].By)
			require.Contains(w, w.log.String(), "what=retry ref_id="+string(ref)+" from=failed to=pending")
		}
		require.Equal(w, refcache.Failed, w.info(refs[2]).Status, "it has another error")

		form.Set("fresh", "true")
		require.Contains(w, w.post("/calls/retry", form).body, "Retried 1 call with “down” in the error.")
		w.ended(exhausted)
		require.Equal(w, 2, w.info(exhausted).Cycle)
	})
}

func TestManyAreCancelledAfterTheyWereCounted(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		for n := range 30 {
			w.charge(fmt.Sprint(n))
		}
		kept := w.call("absent", `1`)
		ask := link(w.shows("/calls?status=pending&func=charge"), "Cancel these…")
		require.Contains(w, w.shows(ask), "Cancel 30 pending calls of charge?")
		require.Len(w, rows(w.shows("/calls?status=pending")), 31)
		a := w.post("/calls/cancel", url.Values{"status": {"pending"}, "func": {"charge"}})
		require.Contains(w, a.body, "Cancelled 30 calls of charge.")
		require.Equal(w, []string{string(kept)}, rows(w.shows("/calls?status=pending")))
		require.Contains(w, w.shows(ask), "No pending calls of charge")
		require.Equal(w, 30, strings.Count(w.log.String(), "what=cancel"))
	})
}

func TestOnlyWhatCanBeDoneToManyIsOffered(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.failsAll(errors.New("down"))
		w.charge(`"complete"`)
		w.call("absent", `1`)
		for path, offers := range map[string][2]bool{"/calls": {}, "/calls?status=complete": {}, "/calls?status=failed": {true, false},
			"/calls?status=pending": {false, true}, "/calls?status=retrying": {}} {
			body := w.shows(path)
			require.Equal(w, offers, [2]bool{link(body, "Retry these…") != "", link(body, "Cancel these…") != ""}, path)
		}
		for _, path := range []string{"/calls/retry?status=pending", "/calls/cancel", "/calls/cancel?status=failed"} {
			require.Equal(w, http.StatusBadRequest, w.get(path).code, path)
			where, query, _ := strings.Cut(path, "?")
			form, _ := url.ParseQuery(query)
			require.Equal(w, http.StatusBadRequest, w.post(where, form).code, path)
		}
	})
}

func TestWhoMayOnlyLookIsOfferedNothingForMany(t *testing.T) {
	inWorld(t, setup{guard: access.Config{ReadOnly: true}}, func(w *world) {
		w.failsAll(errors.New("down"))
		for _, path := range []string{"/calls?status=failed", "/calls?status=failed&group=error"} {
			require.NotContains(w, w.shows(path), "Retry")
		}
		require.Equal(w, http.StatusForbidden, w.get("/calls/retry").code)
		require.Equal(w, http.StatusForbidden, w.post("/calls/retry", nil).code)
	})
}

// A call that fails again while others are still to be retried comes to stand before them, and is not met again.
func TestGoingOnRetriesNoCallTwice(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		refs := w.failsAll(errors.New("a"), errors.New("b"), errors.New("c"))
		first, err := w.a.Page(w.Context(), admin.Filter{Status: refcache.Failed}, "", 1)
		require.NoError(w, err)
		a := w.post("/calls/retry", url.Values{"cursor": {string(first.Next)}})
		require.Contains(w, a.body, "Retried 2 calls.")
		require.Equal(w, refcache.Failed, w.info(refs[2]).Status)
	})
}

func TestAnOutageEndsAChangeOfManyWithWhatWasDone(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		for n := range 100 {
			w.charge(fmt.Sprint(n))
		}
		var cancels atomic.Int32
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasPrefix(strings.ToLower(cmd[0]), "eval") && slices.Contains(cmd, "anybody@192.0.2.7") && cancels.Add(1) > 40 { // the first ones find no script, and are sent again
				return "ERR out of order"
			}
			return memredis.Pass
		})
		a := w.post("/calls/cancel", url.Values{"status": {"pending"}})
		require.Equal(w, http.StatusOK, a.code, a.body)
		require.Contains(w, a.body, "Go on with the rest")
		told := regexp.MustCompile(`Cancelled (\d+) calls? so far.</h2>\s*<p>(\d+) got no answer`).FindStringSubmatch(a.body)
		require.NotNil(w, told, a.body)
		done, _ := strconv.Atoi(told[1])
		lost, _ := strconv.Atoi(told[2])
		require.Positive(w, done)
		require.Less(w, done+lost, 80, "no more are begun")
		w.Server.SetFaults(nil)
		require.Contains(w, w.post("/calls/cancel", url.Values{"status": {"pending"}}).body, fmt.Sprintf("Cancelled %d calls.", 100-done))
	})
}

func (w *world) info(ref refcache.Ref) refcache.TaskInfo {
	w.Helper()
	info, err := w.p.Info(w.Context(), ref)
	require.NoError(w, err)
	return info
}
