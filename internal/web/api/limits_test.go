package api_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/web/access"
)

// operations are a request for each operation of the document.
func operations(ref string) [][3]string {
	return [][3]string{
		{"POST", "/calls", `{"func":"echo","wait":0}`},
		{"GET", "/calls", ""},
		{"POST", "/calls:batch", `{"func":"echo"}`},
		{"GET", "/calls/" + ref, ""},
		{"GET", "/calls/" + ref + "/result", ""},
		{"GET", "/calls/" + ref + "/task", ""},
		{"POST", "/calls/" + ref + "/retry", ""},
		{"POST", "/calls/" + ref + "/cancel", ""},
		{"DELETE", "/calls/" + ref, ""},
		{"POST", "/invalidations", `{"tags":["a"]}`},
		{"POST", "/pause", `{"func":"echo"}`},
		{"POST", "/resume", `{"func":"echo"}`},
		{"GET", "/pauses", ""},
		{"GET", "/gates", ""},
		{"GET", "/gates/media/hosts", ""},
		{"PUT", "/gates/media/hosts", `{"each":1}`},
		{"DELETE", "/gates/media/hosts", ""},
		{"GET", "/openapi.json", ""},
	}
}

const someRef = "default:00000000000000000000000000000000"

func TestEveryOperationIsBehindTheGuard(t *testing.T) {
	credentials, err := access.ParseCredentials("viewer:ann:aaaaaaaaaaaa operator:bot:bbbbbbbbbbbb")
	require.NoError(t, err)
	inWorld(t, setup{guard: access.Config{Credentials: credentials}}, func(w *world) {
		for _, o := range operations(someRef) {
			w.ask(o[0], o[1], o[2], "Host", "evil.example").problem(w, http.StatusMisdirectedRequest, "misdirected")
			w.ask(o[0], o[1], o[2]).problem(w, http.StatusUnauthorized, "unauthorized")
			w.ask(o[0], o[1], o[2], "Authorization", "Bearer x").problem(w, http.StatusUnauthorized, "unauthorized")
			if o[0] == "GET" {
				require.NotContains(w, []int{401, 403}, w.ask(o[0], o[1], o[2], "Authorization", "Bearer aaaaaaaaaaaa").code)
				continue
			}
			w.ask(o[0], o[1], o[2], "Authorization", "Bearer aaaaaaaaaaaa").problem(w, http.StatusForbidden, "forbidden")
			w.ask(o[0], o[1], o[2], "Authorization", "Bearer bbbbbbbbbbbb", "Origin", "http://evil.example").problem(w, http.StatusForbidden, "cross-origin")
		}
		ref := w.ask("POST", "/calls", `{"func":"absent","wait":0}`, "Authorization", "Bearer bbbbbbbbbbbb").ref(w)
		require.Equal(w, http.StatusOK, w.ask("POST", "/calls/"+ref+"/cancel", "", "Authorization", "Bearer bbbbbbbbbbbb").code)
		require.Contains(w, w.ask("GET", "/calls/"+ref+"/task", "", "Authorization", "Bearer aaaaaaaaaaaa").body, `"kind":"cancel","by":"bot@pipe"`)
		require.Contains(w, w.log.String(), "who=bot role=operator remote=pipe what=cancel")
	})
}

func TestMoreRequestsThanTheServerTakesAreSentAway(t *testing.T) {
	inWorld(t, setup{maxRequests: 1}, func(w *world) {
		ref := w.pending()
		tooMany := func(o [3]string) {
			w.Helper()
			a := w.ask(o[0], o[1], o[2])
			a.problem(w, http.StatusTooManyRequests, "too-many-requests")
			require.Equal(w, "1", a.header.Get("Retry-After"))
		}
		// One that waits keeps others from waiting, but from nothing else.
		go w.ask("GET", "/calls/"+ref+"?wait=1m", "")
		synctest.Wait()
		for _, o := range [][3]string{operations(ref)[0], operations(ref)[2], {"GET", "/calls/" + ref + "?wait=1s", ""}} {
			tooMany(o)
		}
		require.Equal(w, http.StatusOK, w.ask("GET", "/calls", "").code)
		time.Sleep(time.Minute)

		// One that is held up by Redis keeps those from waiting that do not.
		w.Server.SetFaults(func([]string) memredis.Fault { time.Sleep(2 * time.Second); return memredis.Pass })
		go w.ask("GET", "/calls/"+ref+"/task", "")
		time.Sleep(time.Second)
		for _, o := range operations(ref) {
			if !strings.HasSuffix(o[1], "/calls:batch") && (o[1] != "/calls" || o[0] != "POST") {
				tooMany(o)
			}
		}
		w.Server.SetFaults(nil)
		time.Sleep(time.Minute)
		require.Equal(w, http.StatusOK, w.ask("GET", "/calls/"+ref+"/task", "").code, "places are given back")
	})
}

func TestARequestThatRedisHoldsUpEnds(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.pending()
		w.ask("POST", "/calls", `{"func":"echo","wait":0}`)
		w.Server.SetFaults(func([]string) memredis.Fault { time.Sleep(1400 * time.Millisecond); return memredis.Pass })
		start := time.Now()
		w.ask("GET", "/calls", "").problem(w, http.StatusServiceUnavailable, "unavailable")
		require.Equal(w, 20*time.Second, time.Since(start), "before the server cuts the connection")
		w.Server.SetFaults(nil)
		time.Sleep(time.Minute)
	})
}

func TestWhatIsRedactedIsNowhereInAnswersAndLogs(t *testing.T) {
	inWorld(t, setup{redact: []string{"/pin", "hush-[0-9]+"}}, func(w *world) {
		w.work()
		ref := w.ended(`{"func":"echo","args":{"pin":4711,"text":"it is hush-1"}}`).ref(w)
		require.Equal(w, `{"pin":"***","text":"it is ***"}`, w.ask("GET", "/calls/"+ref+"/result", "").body)
		failed := w.ended(`{"func":"fail","args":"hush-2","wait":"1m","options":{"max_retries":0}}`).ref(w)
		answers := []answer{w.ask("GET", "/calls/"+ref, ""), w.ask("GET", "/calls/"+failed, ""), w.ask("GET", "/calls/"+failed+"/task", ""),
			w.ask("GET", "/calls/"+failed+"/result", ""), w.ask("GET", "/calls", ""), w.ask("POST", "/calls", `{"func":"hush-3"}`),
			w.ask("POST", "/calls:batch?wait=1s", `{"func":"echo","args":{"pin":4711,"text":"it is hush-1"}}`),
			w.ask("GET", "/calls/"+ref, "", "Accept", "text/event-stream"), w.ask("GET", "/calls/hush-4", "")}
		for _, a := range answers {
			require.NotContains(w, a.body, "hush", a.body)
			require.NotContains(w, a.body, "4711", a.body)
			require.Contains(w, a.body, "***")
		}
		require.NotContains(w, w.log.String(), "hush")
		require.Equal(w, []string{failed}, w.list("&error=down:"))
		require.Empty(w, w.list("&error=hush-2"), "nobody can guess at what is hidden")
	})
}

func TestAReadOnlyServerTellsAndChangesNothing(t *testing.T) {
	inWorld(t, setup{guard: access.Config{ReadOnly: true}}, func(w *world) {
		for _, o := range operations(someRef) {
			if o[0] != "GET" {
				w.ask(o[0], o[1], o[2]).problem(w, http.StatusForbidden, "read-only")
			}
		}
		require.Equal(w, http.StatusOK, w.ask("GET", "/calls", "").code)
	})
}
