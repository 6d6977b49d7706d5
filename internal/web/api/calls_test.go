package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestACallIsAnsweredWithItsResult(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		a := w.ended(`{"func":"echo","args":{"b":1,"a":"<&>"},"wait":"10s"}`)
		require.Equal(w, "/api/v1/calls/"+a.ref(w), a.header.Get("Location"))
		require.Equal(w, "no-store", a.header.Get("Cache-Control"))
		require.Contains(w, a.body, `"value":{"a":"<&>","b":1}`)
		require.Equal(w, a.ref(w), w.ended(`{"func":"echo","args":{"a":"<&>","b":1.0}}`).ref(w), "the same call")
		require.Equal(w, strings.Replace(a.body, `"cache":"miss"`, `"cache":null`, 1), w.ask("GET", "/calls/"+a.ref(w), "").body)
		require.Equal(w, `{}`, w.ask("GET", "/calls/"+w.ended(`{"func":"echo"}`).ref(w)+"/result", "").body, "no arguments are {}")
	})
}

func TestAResponseIsWhatTheCommandPrints(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		ref := w.ended(`{"func":"echo","args":[1e400,9007199254740993.0]}`).ref(w)
		for _, format := range []refcache.Format{refcache.Minimal, refcache.Standard, refcache.Full} {
			res, err := w.p.Get(w.Context(), refcache.Ref(ref))
			require.NoError(w, err)
			text, err := res.JSON(format)
			require.NoError(w, err)
			require.Equal(w, string(text)+"\n", w.ask("GET", "/calls/"+ref+"?format="+string(format), "").body)
		}
		require.Contains(w, w.ask("POST", "/calls?format=full", `{"func":"echo"}`).body, `"attempt":1}`)
		require.Equal(w, `[1e+400,9007199254740993]`, w.ask("GET", "/calls/"+ref+"/result", "").body)
		require.Equal(w, "complete", w.ask("GET", "/calls/"+ref+"/result", "").header.Get("Refq-Status"))
	})
}

func TestACallInFlightIsAcceptedAndFoundAgain(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		start := time.Now()
		a := w.ask("POST", "/calls", `{"func":"hold","wait":2}`)
		require.Equal(w, http.StatusAccepted, a.code)
		require.Equal(w, 2*time.Second, time.Since(start))
		require.Equal(w, "1", a.header.Get("Retry-After"))
		require.Equal(w, "processing", a.fields(w)["status"])

		path := strings.TrimPrefix(a.header.Get("Location"), "/api/v1")
		require.Equal(w, http.StatusAccepted, w.ask("GET", path, "").code)
		require.Contains(w, w.ask("GET", path+"/result", "").problem(w, http.StatusConflict, "in-flight"), "no result of ")
		go func() { time.Sleep(3 * time.Minute); w.held <- struct{}{} }()
		a = w.ask("GET", path+"?wait=4m", "")
		require.Equal(w, http.StatusOK, a.code, "beyond all limits of the server's")
		require.Equal(w, 3*time.Minute+2*time.Second, time.Since(start).Truncate(time.Second))
	})
}

func TestALongPollEndsAfterItsWait(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.pending()
		start := time.Now()
		require.Equal(w, http.StatusAccepted, w.ask("GET", "/calls/"+ref+"?wait=90", "").code)
		require.Equal(w, 90*time.Second, time.Since(start))
	})
}

func TestACallThatSaysNoWaitWaitsAsLongAsItsFunction(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		start := time.Now()
		require.Equal(w, http.StatusAccepted, w.ask("POST", "/calls", `{"func":"absent"}`).code)
		require.Equal(w, 5*time.Second, time.Since(start))
	})
}

func TestAFailedCallTellsWhyAndIsRetriedByHand(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		a := w.ended(`{"func":"fail","args":"x","wait":"1m","options":{"max_retries":1,"retry_delay":"2s"}}`)
		require.Equal(w, "failed", a.fields(w)["status"])
		require.Equal(w, `down: "x"`, a.fields(w)["error"])
		ref := a.ref(w)
		w.ask("GET", "/calls/"+ref+"/result", "").problem(w, http.StatusConflict, "call-failed")
		require.Contains(w, w.ask("POST", "/calls/"+ref+"/retry", "").problem(w, http.StatusConflict, "retries-exhausted"), "fresh budget")

		require.Contains(w, w.ask("POST", "/calls/"+ref+"/retry", `{"fresh":true}`).problem(w, http.StatusBadRequest, "bad-request"),
			"takes no body: parameters stand in the address")

		a = w.ask("POST", "/calls/"+ref+"/retry?fresh=true", "")
		require.Equal(w, http.StatusAccepted, a.code)
		require.Equal(w, "pending", a.fields(w)["status"])
		w.ask("POST", "/calls/"+ref+"/retry", "").problem(w, http.StatusConflict, "not-failed")

		task := w.ask("GET", "/calls/"+ref+"/task", "").fields(w)
		require.Equal(w, "fresh", task["events"].([]any)[0].(object)["kind"])
		require.Equal(w, "anybody@pipe", task["events"].([]any)[0].(object)["by"])
		require.GreaterOrEqual(w, len(task["retry_history"].([]any)), 2, "the history is kept")
	})
}

func TestOptionsAreThoseOfConfigYAML(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.ask("POST", "/calls", `{"func":"absent","wait":0,"options":{"max_retries":"7","retry_delay":1.5,"retry_backoff_factor":3,
			"timeout":"0","ttl":"1h","retry_failed":false,"refresh":false}}`).ref(w)
		task := w.ask("GET", "/calls/"+ref+"/task", "").fields(w)
		require.EqualValues(w, 7, task["max_retries"])
		require.EqualValues(w, 1.5, task["retry_delay_seconds"])
		require.EqualValues(w, 3, task["retry_backoff_factor"])
		require.Nil(w, task["timeout_seconds"])
	})
}

func TestRefreshAndRetryFailedRunAgain(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		ref := w.ended(`{"func":"echo"}`).ref(w)
		require.Equal(w, ref, w.ended(`{"func":"echo","options":{"refresh":true}}`).ref(w))
		require.EqualValues(w, 2, w.ask("GET", "/calls/"+ref+"/task", "").fields(w)["cycle"])
		ref = w.ended(`{"func":"fail","wait":"1m"}`).ref(w)
		require.Equal(w, ref, w.ended(`{"func":"fail","wait":"1m","options":{"retry_failed":true}}`).ref(w))
		require.EqualValues(w, 2, w.ask("GET", "/calls/"+ref+"/task", "").fields(w)["cycle"])
	})
}

func TestAnAnswerSaysHowOldItIsAndHowItCameAbout(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.ask("POST", "/calls", `{"func":"quote","options":{"only_if_cached":true}}`).problem(w, http.StatusGatewayTimeout, "not-cached")
		w.work()
		tell := func(options string) string {
			a := w.ended(`{"func":"quote","wait":"1m","options":` + options + `}`)
			fields := a.fields(w)
			require.Equal(w, fields["stale_reason"] != nil, fields["is_stale"])
			return fmt.Sprintf("%v, %.0f s; Age: %s; Cache-Status: %s", fields["cache"], fields["age_seconds"], a.header.Get("Age"), a.header.Get("Cache-Status"))
		}
		require.Equal(w, "miss, 0 s; Age: 0; Cache-Status: refq; fwd=miss", tell(`{}`))
		time.Sleep(20 * time.Second)
		require.Equal(w, "hit, 20 s; Age: 20; Cache-Status: refq; hit; ttl=40", tell(`{"max_age":"30s"}`))
		require.Equal(w, "miss, 0 s; Age: 0; Cache-Status: refq; fwd=request", tell(`{"refresh":true}`))
		time.Sleep(20 * time.Second)
		require.Equal(w, "miss, 0 s; Age: 0; Cache-Status: refq; fwd=miss", tell(`{"max_age":10}`))
		time.Sleep(80 * time.Second)
		stale := "stale, 80 s; Age: 80; Cache-Status: refq; hit; ttl=-20; detail=age"
		require.Equal(w, stale, tell(`{"only_if_cached":true}`))
		require.Equal(w, stale, tell(`{}`))
		time.Sleep(time.Second)
		require.Equal(w, "hit, 1 s; Age: 1; Cache-Status: refq; hit; ttl=59", tell(`{}`), "it was refreshed behind")

		w.ask("POST", "/calls", `{"func":"hold","wait":0}`)
		require.Equal(w, "refq; fwd=miss; collapsed", w.ask("POST", "/calls", `{"func":"hold","wait":0}`).header.Get("Cache-Status"))
		for options, why := range map[string]string{`{"max_age":0}`: "must be more", `{"max_age":"soon"}`: "options.max_age",
			`{"only_if_cached":true,"refresh":true}`: "leave one out"} {
			detail := w.ask("POST", "/calls", `{"func":"quote","options":`+options+`}`).problem(w, http.StatusUnprocessableEntity, "invalid-options")
			require.Contains(w, detail, why)
		}
	})
}

func TestAKeyStandsForTheArguments(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		require.Equal(w, http.StatusAccepted, w.ask("POST", "/calls", `{"func":"page","args":{"url":"u","size":1},"wait":0}`).code)
		detail := w.ask("POST", "/calls", `{"func":"page","args":{"url":"u","size":2},"wait":0}`).problem(w, http.StatusConflict, "key-conflict")
		require.Contains(w, detail, "the key is taken by other arguments")
		long := `{"url":"` + strings.Repeat("x", 2000) + `"}`
		detail = w.ask("POST", "/calls", `{"func":"page","args":`+long+`}`).problem(w, http.StatusUnprocessableEntity, "invalid-arguments")
		require.Contains(w, detail, "the key has 2006 bytes, more than 1024")
	})
}

func TestARefreshThatFailsOrIsCancelledLeavesTheOldResult(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		go func() { w.held <- struct{}{} }()
		ref := w.ended(`{"func":"hold","args":1,"wait":"1m"}`).ref(w)
		for _, again := range []string{`{"refresh":true,"timeout":"1s","max_retries":0}`, `{}`} {
			a := w.ended(`{"func":"hold","args":1,"wait":"1m","options":` + again + `}`).fields(w)
			require.Equal(w, []any{"complete", true, "error", 1.0, false}, []any{a["status"], a["is_stale"], a["stale_reason"], a["value"], a["refreshing"]})
			require.Contains(w, a["error"], "timed out after 1s")
		}

		require.Equal(w, http.StatusAccepted, w.ask("POST", "/calls", `{"func":"hold","args":1,"wait":0,"options":{"refresh":true}}`).code)
		a := w.ended(`{"func":"hold","args":1}`).fields(w)
		require.Equal(w, []any{"complete", false, nil, 1.0, true}, []any{a["status"], a["is_stale"], a["stale_reason"], a["value"], a["refreshing"]})
		require.Equal(w, `{"ref_id":"`+ref+`","status":"complete","is_complete":true,"is_async":false,"can_retry":false,"is_stale":true}`+"\n",
			w.ask("POST", "/calls/"+ref+"/cancel", "").body)
		task := w.ask("GET", "/calls/"+ref+"/task", "").fields(w)
		require.Equal(w, []any{true, "cancelled"}, []any{task["is_stale"], task["stale_reason"]})
		require.Less(w, task["as_of"], task["started_at"])
		require.Contains(w, w.ask("GET", "/calls?stale=true", "").body, ref)
	})
}

func TestAllNamespacesAreShown(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		shop := w.NewProducer(producer.Config{Namespace: "shop"})
		res, err := producer.Call(w.Context(), shop, refcache.Func[string, string]{Name: "echo"}, "x")
		require.NoError(w, err)
		theirs, ours := string(res.RefID), w.ended(`{"func":"echo","args":"x"}`).ref(w)
		require.NotEqual(w, theirs, ours)
		require.Equal(w, http.StatusOK, w.ask("GET", "/calls/"+theirs, "").code)
		require.Equal(w, `"x"`, w.ask("GET", "/calls/"+theirs+"/result", "").body)
		require.Equal(w, "shop", w.ask("GET", "/calls/"+theirs+"/task", "").fields(w)["namespace"])
		for query, want := range map[string][2]bool{"": {true, true}, "namespace=shop": {true, false}, "namespace=default": {false, true}} {
			list := w.ask("GET", "/calls?"+query, "").body
			require.Equal(w, want, [2]bool{strings.Contains(list, theirs), strings.Contains(list, ours)}, query)
		}
		require.Equal(w, http.StatusNoContent, w.ask("DELETE", "/calls/"+theirs, "").code)
	})
}

func TestCancelAndDelete(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.pending()
		w.ask("DELETE", "/calls/"+ref, "").problem(w, http.StatusConflict, "in-flight")
		require.Equal(w, `{"ref_id":"`+ref+`","status":"cancelled","is_complete":false,"is_async":false,"can_retry":false,"is_stale":false}`+"\n",
			w.ask("POST", "/calls/"+ref+"/cancel", "").body)
		require.Equal(w, http.StatusOK, w.ask("POST", "/calls/"+ref+"/cancel", "").code, "cancelling again is a success")
		w.ask("GET", "/calls/"+ref+"/result", "").problem(w, http.StatusConflict, "call-cancelled")
		require.Equal(w, http.StatusNoContent, w.ask("DELETE", "/calls/"+ref, "").code)
		for _, path := range []string{"", "/result", "/task", "?wait=1s"} {
			w.ask("GET", "/calls/"+ref+path, "").problem(w, http.StatusNotFound, "task-not-found")
		}
		for _, path := range []string{"/retry", "/cancel"} {
			w.ask("POST", "/calls/"+ref+path, "").problem(w, http.StatusNotFound, "task-not-found")
		}
		w.ask("DELETE", "/calls/"+ref, "").problem(w, http.StatusNotFound, "task-not-found")

		w.work()
		ref = w.ended(`{"func":"echo"}`).ref(w)
		w.ask("POST", "/calls/"+ref+"/cancel", "").problem(w, http.StatusConflict, "not-cancellable")
	})
}

func TestEveryChangeIsALineOfTheLog(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.pending()
		w.ask("POST", "/calls/"+ref+"/cancel", "")
		w.ask("POST", "/calls/"+ref+"/retry", "")
		w.ask("DELETE", "/calls/"+ref, "")
		var changes []string
		for line := range strings.Lines(w.log.String()) {
			if _, line, found := strings.Cut(strings.TrimSpace(line), "msg=change "); found {
				changes = append(changes, line)
			}
		}
		who := "who=anybody role=operator remote=pipe "
		require.Equal(w, []string{
			who + `what=call ref_id=` + ref + ` from="" to=pending`,
			who + `what=cancel ref_id=` + ref + ` from=pending to=cancelled`,
			who + `what=retry ref_id=` + ref + ` from="" to="" err="retry ` + ref + `: task has not failed: it is cancelled"`,
			who + `what=delete ref_id=` + ref + ` from=cancelled to=""`,
		}, changes)
	})
}

func TestWhatIsWrongWithACallIsSaid(t *testing.T) {
	inWorld(t, setup{maxArgs: 100}, func(w *world) {
		for body, want := range map[string]struct {
			code int
			name string
			text string
		}{
			``:                                     {400, "bad-request", "the call is not as it should be"},
			`[]`:                                   {400, "bad-request", "the call is not as it should be"},
			`{"func":"echo"`:                       {400, "bad-request", "unexpected EOF"},
			`{"func":"echo","arg":1}`:              {400, "bad-request", "unknown member /arg"},
			`{"func":"echo","func":"echo"}`:        {400, "bad-request", "duplicate"},
			`{"func":"echo","wait":"soon"}`:        {400, "bad-request", `wait: "soon" is not a duration`},
			`{"func":"echo","wait":true}`:          {400, "bad-request", "must be a text or a number"},
			`{"func":"echo","wait":"6m"}`:          {400, "bad-request", "wait is 6m0s, must be at most 5m0s"},
			`{"func":"echo","wait":-1}`:            {400, "bad-request", "wait: -1 is not a duration"},
			`{"func":"ecko"}`:                      {422, "unknown-function", "unknown function ecko (did you mean echo?)"},
			`{}`:                                   {422, "unknown-function", "unknown function"},
			`{"func":"echo","args":{"a":1,"a":2}}`: {400, "bad-request", `duplicate object member name "a" within "/args"`},
			`{"func":"echo","args":1e10000}`:       {422, "invalid-arguments", "exponent beyond"},
			`{"func":"echo","options":{"max_retries":10001}}`:           {422, "invalid-options", "options.max_retries is 10001, must be at most 10000"},
			`{"func":"capped","options":{"retry_delay":"5m"}}`:          {422, "invalid-options", "retry_max_delay is 1s, shorter than retry_delay 5m0s"},
			`{"func":"echo","options":{"ttl":0}}`:                       {422, "invalid-options", "options.ttl is 0s, must be at least 1s"},
			`{"func":"echo","options":{"retries":3}}`:                   {400, "bad-request", "unknown member /options/retries"},
			`{"func":"echo","args":"` + strings.Repeat("x", 100) + `"}`: {413, "args-too-large", "102 bytes, more than max_args 100"},
			strings.Repeat(" ", 100+64<<10+1):                           {413, "args-too-large", "max_args of 100"},
		} {
			require.Contains(w, w.ask("POST", "/calls", body).problem(w, want.code, want.name), want.text, "%.80s", body)
		}
		require.Empty(w, w.list(""), "nothing was done")
	})
}

func TestWhatIsWrongWithAnAddressIsSaid(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		some := "/calls/default:00000000000000000000000000000000"
		for _, c := range []struct {
			method, path string
			code         int
			name, text   string
		}{
			{"GET", "/nothing", 404, "no-such-path", "/api/v1/openapi.json tells what there is"},
			{"GET", "/calls/", 404, "no-such-path", "there is no /api/v1/calls/"},
			{"PUT", "/calls", 405, "method-not-allowed", "knows no PUT, but GET, HEAD, POST"},
			{"GET", "/calls:batch", 405, "method-not-allowed", "knows no GET, but POST"},
			{"POST", some, 405, "method-not-allowed", "knows no POST, but GET, HEAD, DELETE"},
			{"GET", "/calls/x", 400, "invalid-ref", `"x" is not of the form QUEUE:32-HEX-DIGITS`},
			{"GET", "/calls/x/result", 400, "invalid-ref", ""},
			{"GET", "/calls/x/task", 400, "invalid-ref", ""},
			{"POST", "/calls/x/retry", 400, "invalid-ref", ""},
			{"POST", "/calls/x/cancel", 400, "invalid-ref", ""},
			{"DELETE", "/calls/x", 400, "invalid-ref", ""},
			{"GET", some + "?wat=1s", 400, "bad-request", `unknown parameter "wat": did you mean wait?`},
			{"GET", some + "?wait=x", 400, "bad-request", "wait: "},
			{"GET", some + "?format=huge", 400, "bad-request", `format is "huge"`},
			{"GET", some + "?format=full&format=full", 400, "bad-request", "format is given 2 times"},
			{"GET", some + "/task?x", 400, "bad-request", "there is none here"},
			{"POST", some + "/retry?fresh=1", 400, "bad-request", "fresh is \"1\", must be true or false"},
			{"GET", "/calls?status=falied", 400, "bad-request", "must be one of"},
			{"GET", "/calls?limit=501", 400, "bad-request", "from 1 to 500"},
			{"GET", "/calls?func=a=b", 400, "bad-request", "func: name"},
			{"GET", "/calls?queue=a/b", 400, "bad-request", "queue"},
			{"GET", "/calls?namespace=*", 400, "bad-request", "namespace: name"},
			{"GET", "/calls?stale=perhaps", 400, "bad-request", "must be true or false"},
			{"GET", "/calls?since=x", 400, "bad-request", "since: "},
			{"GET", "/calls?cursor=x", 400, "invalid-cursor", "invalid cursor"},
			{"GET", "/openapi.json?x", 400, "bad-request", "there is none here"},
			{"POST", "/calls?wait=1s", 400, "bad-request", `unknown parameter "wait"`},
			{"POST", "/calls:batch?wait=x", 400, "bad-request", "wait: "},
			{"GET", "/calls?a=%zz", 400, "bad-request", "invalid URL escape"},
		} {
			a := w.ask(c.method, c.path, "")
			require.Contains(w, a.problem(w, c.code, c.name), c.text, "%s %s", c.method, c.path)
			if c.code == http.StatusMethodNotAllowed {
				require.NotEmpty(w, a.header.Get("Allow"))
			}
		}
	})
}

// list walks through all pages of what a query finds.
func (w *world) list(query string) (refs []string) {
	w.Helper()
	for cursor := ""; ; {
		fields := w.ask("GET", "/calls?limit=3&cursor="+cursor+query, "").fields(w)
		for _, call := range fields["calls"].([]any) {
			refs = append(refs, call.(object)["ref_id"].(string))
		}
		next, more := fields["next"].(string)
		if !more {
			return refs
		}
		cursor = next
	}
}

func TestAWaitingCallTellsWhereItStands(t *testing.T) {
	inWorld(t, setup{redact: []string{"secret"}}, func(w *world) {
		call := func(host string) string {
			a := w.ask("POST", "/calls", fmt.Sprintf(`{"func":"gated","args":{"host":%q,"n":1},"wait":0}`, host))
			require.Equal(w, http.StatusAccepted, a.code, a.body)
			require.Equal(w, "5", a.header.Get("Retry-After"))
			fields := a.fields(w)
			require.Equal(w, "waiting", fields["status"])
			require.Equal(w, "turn", fields["waits_for"])
			return a.ref(w)
		}
		ref, hidden := call("http://a"), call("secret.example")
		const stands = "waits for its turn: 1st of key http://a, and no worker has declared gate maps"
		require.Equal(w, stands, w.ask("GET", "/calls/"+ref, "").fields(w)["message"])
		task := w.ask("GET", "/calls/"+ref+"/task", "").fields(w)
		require.Equal(w, stands, task["note"])
		require.Equal(w, object{"gate": "maps", "key": "http://a", "share": "", "position": 1.0, "running": 0.0, "limit": 0.0,
			"reason": "undeclared", "next_start_at": nil}, task["turn"])
		require.NotContains(w, w.ask("GET", "/calls/"+hidden+"/task", "").body, "secret")

		require.ElementsMatch(w, []string{ref, hidden}, w.list("&status=waiting"))
		listed := w.ask("GET", "/calls?status=waiting&limit=1", "").fields(w)["calls"].([]any)[0].(object)
		require.Contains(w, listed["note"], "waits for its turn at gate maps, key ")
		require.Nil(w, listed["turn"])
		require.Equal(w, http.StatusOK, w.ask("POST", "/calls/"+ref+"/cancel", "").code)
		require.Equal(w, []string{hidden}, w.list("&status=waiting"))
	})
}

func TestListsGoByThePage(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		var all []string
		for n := range 8 {
			all = append(all, w.ended(fmt.Sprintf(`{"func":"echo","args":%d}`, n)).ref(w))
			time.Sleep(time.Second)
		}
		pending := w.pending()
		require.ElementsMatch(w, append(all, pending), w.list(""))
		require.Equal(w, []string{pending}, w.list("&status=pending"))
		require.Equal(w, []string{pending}, w.list("&func=absent&queue=media"))
		require.Empty(w, w.list("&queue=other"))
		require.Len(w, w.list("&status=complete&since=2.5s"), 2)
		failed := w.ended(`{"func":"fail","args":"y","wait":"1m"}`).ref(w)
		require.Equal(w, []string{failed}, w.list(`&error=down:+"y"`))
	})
}

func TestTheListIsWhatTheCommandPrints(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.pending()
		for info, err := range w.a.List(w.Context(), admin.Filter{}) {
			require.NoError(w, err)
			text, err := info.MarshalJSON()
			require.NoError(w, err)
			require.Equal(w, `{"calls":[`+string(text)+`],"searched":1,"next":null}`+"\n", w.ask("GET", "/calls", "").body)
		}
	})
}

func TestDamagedRecordsAreToldOf(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		ref := w.ended(`{"func":"echo"}`).ref(w)
		rdb := w.Server.Client()
		defer rdb.Close()
		require.NoError(w, storetest.Set(w.Context(), rdb, "refq:{default}:t:"+refcache.Ref(ref).Hash(), "created_at", "x"))
		for _, path := range []string{"", "/result", "/task"} {
			w.ask("GET", "/calls/"+ref+path, "").problem(w, http.StatusInternalServerError, "unreadable")
		}
		for _, path := range []string{"/retry", "/cancel"} {
			w.ask("POST", "/calls/"+ref+path, "").problem(w, http.StatusInternalServerError, "unreadable")
		}
		require.Contains(w, w.ask("GET", "/calls?error=x", "").body, `"unreadable":"`)
		require.Equal(w, http.StatusNoContent, w.ask("DELETE", "/calls/"+ref, "").code)
	})
}

func TestWithoutRedisNothingCanBeFoundOut(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.pending()
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR go away" })
		for _, c := range [][3]string{{"POST", "/calls", `{"func":"echo"}`}, {"GET", "/calls", ""}, {"GET", "/calls/" + ref, ""},
			{"GET", "/calls/" + ref + "/result", ""}, {"GET", "/calls/" + ref + "/task", ""}, {"POST", "/calls/" + ref + "/retry", ""},
			{"POST", "/calls/" + ref + "/cancel", ""}, {"DELETE", "/calls/" + ref, ""}, {"POST", "/invalidations", `{"tags":["a"]}`},
			{"POST", "/pause", `{"func":"echo"}`}, {"POST", "/resume", `{"func":"echo"}`}, {"GET", "/pauses", ""}, {"GET", "/gates", ""},
			{"GET", "/gates/media/hosts", ""}, {"PUT", "/gates/media/hosts", `{"each":1}`}, {"DELETE", "/gates/media/hosts", ""}} {
			a := w.ask(c[0], c[1], c[2])
			a.problem(w, http.StatusServiceUnavailable, "unavailable")
			require.NotEmpty(w, a.header.Get("Retry-After"))
		}
		w.Server.SetFaults(nil)
	})
}

func TestACallThatCouldNotBeQueuedIsAccepted(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		full := func(cmd []string) memredis.Fault {
			if strings.HasPrefix(cmd[0], "EVAL") && strings.HasPrefix(cmd[3], "asynq:{default}:t:") {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		}
		// A task that is given a new life is rung for in a step of its own.
		a := w.ask("POST", "/calls", `{"func":"fail","args":"z","wait":0}`)
		require.Equal(w, http.StatusOK, w.ask("POST", "/calls/"+a.ref(w)+"/cancel", "").code)
		w.Server.SetFaults(full)
		a = w.ask("POST", "/calls", `{"func":"fail","args":"z","wait":"1m","options":{"max_retries":0}}`)
		require.Equal(w, http.StatusAccepted, a.code)
		require.Contains(w, w.log.String(), "a worker's sweep will find this call")
		w.Server.SetFaults(nil)
		w.work()
		require.Equal(w, "failed", w.ask("GET", "/calls/"+a.ref(w)+"?wait=1m", "").fields(w)["status"])

		w.Server.SetFaults(full)
		require.Equal(w, http.StatusAccepted, w.ask("POST", "/calls/"+a.ref(w)+"/retry?fresh=true", "").code)
		w.Server.SetFaults(nil)
	})
}
