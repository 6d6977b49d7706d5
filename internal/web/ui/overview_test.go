package ui_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/web/access"
)

func TestTheOverviewOfNothingSaysWhatToTypeNext(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.get("/")
		require.Equal(w, http.StatusOK, a.code)
		w.golden("overview_unused", a)
		require.Contains(w, a.body, "refq call echo")
		require.Contains(w, a.body, `href="/functions/echo"`)
		require.Contains(w, a.body, "refq worker")
	})
}

func TestTheOverviewOfNothingDeclaredSaysHowToBegin(t *testing.T) {
	inWorld(t, setup{functions: []config.Func{}}, func(w *world) {
		require.Contains(w, w.get("/").body, "refq init")
	})
}

func TestWhoMayOnlyLookIsNotSentToForms(t *testing.T) {
	inWorld(t, setup{guard: access.Config{ReadOnly: true}}, func(w *world) {
		require.NotContains(w, w.get("/").body, "the page of echo")
	})
}

// busy has some of everything happen: two failed, one cached, one running, one pending without a worker for it.
func (w *world) busy() (release func()) {
	release = w.work()
	w.call("echo", `1`)
	w.call("echo", `1`)
	w.call("fail", `"a"`)
	w.call("fail", `"b"`)
	w.call("hold", `{}`)
	w.call("absent", `{}`)
	time.Sleep(3 * time.Second) // counts are added every 2 s
	synctest.Wait()
	return release
}

func TestTheOverviewShowsCountsFailuresFunctionsQueuesAndWorkers(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		release := w.busy()
		defer release()
		w.golden("overview", w.get("/"))
		body := w.get("/").body
		require.Regexp(w, `tile failed" id="tile-failed"><a href="/calls\?status=failed">.*<span class="figure">2</span>`, body)
		require.Contains(w, body, `<title>this minute`+"\n"+`2 failed</title>`)
		require.Less(w, strings.Index(body, `id="function-default-fail"`), strings.Index(body, `id="function-default-echo"`), "failures come first")
		require.Contains(w, body, "no worker for absent@1 in queue media")
		require.Regexp(w, `id="function-default-echo">.*data-label="From the cache">50 %<`, body)
	})
}

func TestManyViewersOfTheOverviewCostRedisOneLook(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.get("/")
		sent := w.countCommands()
		for range 50 {
			require.Equal(w, http.StatusOK, w.get("/").code)
		}
		require.Zero(w, sent.Load())
		time.Sleep(10 * time.Second)
		w.get("/")
		require.Positive(w, sent.Load())
	})
}

func TestAnOverviewWithoutRedisSaysSoAndTriesAgain(t *testing.T) {
	inWorld(t, setup{redact: []string{"refused"}}, func(w *world) {
		w.Server.Close()
		a := w.get("/")
		require.Equal(w, http.StatusServiceUnavailable, a.code)
		require.Contains(w, a.body, "<h1 id=\"title\">Redis does not answer</h1>")
		require.Regexp(w, regexp.MustCompile(`<main [^>]*data-live="queues"`), a.body)
		require.NotContains(w, a.body, "refused")
		require.Contains(w, w.log.String(), "page failed")
	})
}
