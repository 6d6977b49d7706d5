package ui_test

import (
	"context"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// charge is a function that fails as often as a test wants.
var charge = refcache.Func[raw, raw]{Name: "charge", Retry: refcache.RetryPolicy{MaxRetries: 2, Jitter: -1}}

// runs runs a worker of one function until the test ends.
func (w *world) runs(f refcache.Func[raw, raw], run func(context.Context, raw) (raw, error)) {
	rdb := w.Server.Client()
	wk := worker.New(rdb, worker.Config{Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: -1})
	worker.Handle(wk, f, run)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- wk.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		require.NoError(w, <-done)
		require.NoError(w, rdb.Close())
	})
}

// fails runs a worker on which charge answers with these errors in turn, nil being success, and then with its arguments.
func (w *world) fails(errs ...error) {
	w.runs(charge, func(_ context.Context, in raw) (raw, error) {
		time.Sleep(500 * time.Millisecond)
		if len(errs) == 0 {
			return in, nil
		}
		err := errs[0]
		if errs = errs[1:]; err != nil {
			return nil, err
		}
		return in, nil
	})
}

func (w *world) charge(args string) refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, charge, raw(args))
	require.NoError(w, err)
	return ref
}

// ended waits for the end of a call.
func (w *world) ended(ref refcache.Ref) refcache.Ref {
	w.Helper()
	_, err := w.p.Wait(w.Context(), ref)
	if _, failed := errors.AsType[*refcache.TaskError](err); !failed {
		require.NoError(w, err)
	}
	return ref
}

func (w *world) page(ref refcache.Ref) string {
	w.Helper()
	a := w.get("/calls/" + string(ref))
	require.Equal(w, http.StatusOK, a.code, a.body)
	return a.body
}

// buttons are what a page offers to do, by the paths of its forms.
func buttons(body string, ref refcache.Ref) (all []string) {
	for _, form := range strings.Split(body, `<form method="post" action="/calls/`+string(ref)+`/`)[1:] {
		form, _, _ = strings.Cut(form, "</form>")
		name, _, _ := strings.Cut(form, `"`)
		if strings.Contains(form, `name="fresh" value="true"`) {
			name += " fresh"
		}
		all = append(all, name)
	}
	return all
}

var errRefused = errors.New("dial tcp 10.0.0.3:5432: connection refused\n\ngoroutine 1 [running]:\nmain.main()")

func TestThePageOfACallThatFailed(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fails(errRefused, errRefused, errRefused)
		ref := w.ended(w.charge(`{"card":"4242","amount":12345678901234567890.5}`))
		time.Sleep(time.Minute)
		w.golden("call_failed", w.get("/calls/"+string(ref)))
	})
}

func TestThePageOfACallThatWasRetriedByHand(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fails(errRefused, worker.Permanent(errors.New("no")))
		ref := w.ended(w.charge(`{"a":1}`))
		time.Sleep(time.Minute)
		require.Equal(w, http.StatusSeeOther, w.post("/calls/"+string(ref)+"/retry", url.Values{"fresh": {"true"}}).code)
		w.ended(ref)
		w.golden("call_retried", w.get("/calls/"+string(ref)))
	})
}

func TestThePageOfACallWhoseRefreshFailed(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		f := refcache.Func[raw, raw]{Name: "quote"}
		down := false
		w.runs(f, func(_ context.Context, in raw) (raw, error) {
			if down {
				return nil, worker.Permanent(errRefused)
			}
			return in, nil
		})
		res, err := producer.Call(w.Context(), w.p, f, raw(`1`))
		require.NoError(w, err)
		time.Sleep(time.Hour)
		down = true
		_, err = producer.Call(w.Context(), w.p, f, raw(`1`), producer.Refresh())
		require.Error(w, err)
		time.Sleep(time.Minute)
		body := w.page(res.RefID)
		require.Contains(w, body, "Complete with its old result: the last refresh failed")
		require.Contains(w, body, "connection refused")
		require.Contains(w, body, "Complete with the old result")
		require.Contains(w, body, "The old one, of an attempt begun")
		require.NotContains(w, body, "Attempt 1 is complete")
		require.Contains(w, w.get("/calls").body, "old result, the refresh failed: dial tcp")
	})
}

func TestThePageOfACallThatRuns(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		f := refcache.Func[raw, raw]{Name: "steps"}
		w.runs(f, func(ctx context.Context, in raw) (raw, error) {
			time.Sleep(10 * time.Second)
			worker.ReportProgress(ctx, 1, 4, "page <1>")
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		ref, err := producer.Submit(w.Context(), w.p, f, raw(`1`))
		require.NoError(w, err)
		time.Sleep(15 * time.Second)
		body := w.page(ref)
		require.Contains(w, body, `<progress id="bar" max="100" value="25"`)
		require.Contains(w, body, "1 of 4 (25 %) · page &lt;1&gt; · about 4")
		require.Contains(w, body, "Attempt 1 runs")
	})
}

func TestTheNextRetryIsCountedDownTo(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fails(worker.RetryAfter(errRefused, time.Hour))
		ref := w.charge(`1`)
		time.Sleep(10 * time.Second)
		due := time.Now().Add(time.Hour - 10*time.Second).UTC().Format("2006-01-02T15:04")
		require.Regexp(w, `Attempt 1 failed; retry 1 of 2 <time datetime="`+due+`[^"]+" title="[^"]+" data-until>in 59 min`, w.page(ref))
		require.Contains(w, w.page(ref), `data-live="`+string(ref)+`"`)
	})
}

func TestTheRefreshButtonRunsACompleteCallAgain(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fails()
		ref := w.ended(w.charge(`1`))
		first, err := w.p.Info(w.Context(), ref)
		require.NoError(w, err)
		time.Sleep(time.Minute)
		to := w.post("/calls/"+string(ref)+"/refresh", nil).header.Get("Location")
		require.Equal(w, "/calls/"+string(ref)+"?said=refreshed", to)
		require.Contains(w, w.get(to).body, "The call runs again.")
		w.ended(ref)
		now, err := w.p.Info(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, 2, now.Cycle)
		require.True(w, now.AsOf.After(*first.AsOf))
		require.Contains(w, w.post("/calls/default:"+strings.Repeat("0", 32)+"/refresh", nil).header.Get("Location"), "said=gone")
	})
}

func TestButtonsAreThoseOfTheState(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		pending := w.charge(`"pending"`)
		require.Equal(w, []string{"cancel"}, buttons(w.page(pending), pending))
		require.NoError(w, w.p.Cancel(w.Context(), pending))
		require.Equal(w, []string{"delete"}, buttons(w.page(pending), pending))

		w.fails(worker.Permanent(errRefused), errRefused, errRefused, errRefused, worker.RetryAfter(errRefused, time.Hour))
		left := w.ended(w.charge(`"left"`))
		require.Equal(w, []string{"retry", "retry fresh", "delete"}, buttons(w.page(left), left))
		exhausted := w.ended(w.charge(`"exhausted"`))
		require.Equal(w, []string{"retry fresh", "delete"}, buttons(w.page(exhausted), exhausted))
		retrying := w.charge(`"retrying"`)
		time.Sleep(5 * time.Second)
		require.Equal(w, []string{"cancel"}, buttons(w.page(retrying), retrying))
		complete := w.ended(w.charge(`"complete"`))
		require.Equal(w, []string{"refresh", "delete"}, buttons(w.page(complete), complete))
		require.Contains(w, w.page(exhausted), `href="/queues/queues/default/tasks/`+string(exhausted)+`"`)
		require.NotContains(w, w.page(complete), `href="/queues/queues/`, "asynq has forgotten it")
	})
}

func TestWhoMayOnlyLookIsOfferedAndLetDoNothing(t *testing.T) {
	credentials, err := access.ParseCredentials("viewer:eve:123456789012 operator:bob:210987654321")
	require.NoError(t, err)
	inWorld(t, setup{guard: access.Config{Credentials: credentials}}, func(w *world) {
		ref := w.charge(`1`)
		viewer, operator := []string{"Authorization", "Bearer 123456789012"}, []string{"Authorization", "Bearer 210987654321"}
		require.Empty(w, buttons(w.get("/calls/"+string(ref), viewer...).body, ref))
		require.Equal(w, http.StatusForbidden, w.post("/calls/"+string(ref)+"/cancel", nil, viewer...).code)
		require.Equal(w, []string{"cancel"}, buttons(w.get("/calls/"+string(ref), operator...).body, ref))
		require.Equal(w, http.StatusSeeOther, w.post("/calls/"+string(ref)+"/cancel", nil, operator...).code)
		require.Contains(w, w.get("/calls/"+string(ref), viewer...).body, "by bob@192.0.2.7")
		require.Contains(w, w.log.String(), "msg=change who=bob role=operator remote=192.0.2.7 what=cancel ref_id="+string(ref)+" from=pending to=cancelled")
	})
}

func TestAReadOnlyServerOffersAndDoesNothing(t *testing.T) {
	inWorld(t, setup{guard: access.Config{ReadOnly: true}}, func(w *world) {
		ref := w.charge(`1`)
		require.Empty(w, buttons(w.page(ref), ref))
		for _, what := range []string{"retry", "cancel", "delete"} {
			require.Equal(w, http.StatusForbidden, w.post("/calls/"+string(ref)+"/"+what, nil).code)
		}
	})
}

// lands sends a form, follows where it leads, and returns the sentence that stands there.
func (w *world) lands(path string, form url.Values) string {
	w.Helper()
	a := w.post(path, form)
	require.Equal(w, http.StatusSeeOther, a.code, a.body)
	a = w.get(a.header.Get("Location"))
	require.Equal(w, http.StatusOK, a.code)
	_, rest, found := strings.Cut(a.body, `<p class="notice" role="status">`)
	require.True(w, found)
	sentence, _, _ := strings.Cut(rest, "</p>")
	return html.UnescapeString(sentence)
}

func TestWhoComesTooLateIsToldSo(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fails(worker.Permanent(errRefused), errRefused, errRefused, errRefused)
		ref := w.ended(w.charge(`1`))
		path := "/calls/" + string(ref)
		require.Equal(w, "Nothing was cancelled: the call had ended before. It is failed.", w.lands(path+"/cancel", nil))
		require.Equal(w, "The call was retried.", w.lands(path+"/retry", nil))
		time.Sleep(100 * time.Millisecond)
		require.Equal(w, "Nothing was retried: only a failed call can be, and this one is processing. Perhaps somebody else was quicker.", w.lands(path+"/retry", nil))
		require.Equal(w, "Nothing was deleted: the call is in flight again. Cancel it first.", w.lands(path+"/delete", nil))
		w.ended(ref)
		require.Equal(w, "Nothing was retried: no retries are left. Retry it with a fresh budget.", w.lands(path+"/retry", nil))
		require.Equal(w, "The call was retried.", w.lands(path+"/retry", url.Values{"fresh": {"true"}}))
		w.ended(ref)
		require.NoError(w, w.p.Delete(w.Context(), ref))
		a := w.post(path+"/retry", nil)
		require.Equal(w, "/calls?said=gone", a.header.Get("Location"))
		require.Equal(w, http.StatusNotFound, w.get(path).code)
		require.NotContains(w, w.get("/calls/"+string(w.charge(`2`))+"?said=%3Cb%3E").body, "notice")
	})
}

func TestWhatStrangersWroteIsText(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		const evil = `</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>" onmouseover="alert(1)`
		f := charge
		f.Name = evil
		ref, err := producer.Submit(w.Context(), w.p, f, raw(`"pending"`))
		if err == nil { // names may have such characters
			require.NotContains(w, w.page(ref), "<script>alert")
		}
		w.fails(worker.Permanent(errors.New(evil+"\n\n"+evil)), nil)
		failed := w.ended(w.charge(`{"<script>alert(1)</script>":"` + strings.ReplaceAll(evil, `"`, `\"`) + `"}`))
		complete := w.ended(w.charge(`"` + strings.ReplaceAll(evil, `"`, `\"`) + ` again"`))
		for _, ref := range []refcache.Ref{failed, complete} {
			body := w.page(ref)
			require.NotContains(w, body, "<script>alert")
			require.NotContains(w, body, "<img")
			require.NotContains(w, body, `" onmouseover="`)
			require.Contains(w, body, "&lt;script&gt;alert(1)&lt;/script&gt;")
		}
	})
}

func TestPagesOfCallsHideWhatTheRulesSay(t *testing.T) {
	inWorld(t, setup{redact: []string{"/**/card", "4242"}}, func(w *world) {
		w.fails(errors.New("card 4242 was refused\n\nstack of 4242"), nil)
		ref := w.ended(w.charge(`{"card":"secret","n":"4242"}`))
		for _, a := range []answer{w.get("/calls/" + string(ref)), w.get("/calls/" + string(ref) + "/args"), w.get("/calls/" + string(ref) + "/result")} {
			require.Equal(w, http.StatusOK, a.code)
			require.NotContains(w, a.body, "4242")
			require.NotContains(w, a.body, "secret")
			require.Contains(w, a.body, "***")
		}
	})
}

func TestArgumentsAndResultsAreDownloadedToTheLetter(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fails()
		text := `{"big":12345678901234567890,"s":"` + strings.Repeat("x", 100<<10) + `"}`
		ref := w.charge(text)
		require.Equal(w, http.StatusNotFound, w.get("/calls/"+string(ref)+"/result").code)
		w.ended(ref)
		for _, what := range []string{"args", "result"} {
			a := w.get("/calls/" + string(ref) + "/" + what)
			require.Equal(w, text, a.body)
			require.Equal(w, "application/json", a.header.Get("Content-Type"))
			require.Equal(w, `attachment; filename=`+ref.Hash()+"."+what+".json", a.header.Get("Content-Disposition"))
			require.Equal(w, "nosniff", a.header.Get("X-Content-Type-Options"))
		}
		body := w.page(ref)
		require.Less(w, len(body), 200<<10, "64 KiB of each are shown")
		require.Contains(w, body, "the beginning of 100 KiB")
	})
}

func TestACallThatCannotBeReadCanBeDeleted(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.charge(`1`)
		rdb := w.Server.Client()
		defer rdb.Close()
		require.NoError(w, storetest.Set(w.Context(), rdb, "refq:{default}:t:"+ref.Hash(), "created_at", "<x>"))
		a := w.get("/calls/" + string(ref))
		require.Equal(w, http.StatusInternalServerError, a.code)
		require.Contains(w, a.body, "created_at is &#34;&lt;x&gt;&#34;")
		require.Equal(w, []string{"delete"}, buttons(a.body, ref))
		require.Equal(w, "/calls?said=deleted", w.post("/calls/"+string(ref)+"/delete", nil).header.Get("Location"))
		require.Equal(w, http.StatusNotFound, w.get("/calls/"+string(ref)).code)
		require.Equal(w, http.StatusNotFound, w.get("/calls/nonsense").code)
	})
}
