package ui_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/refcache"
)

func TestFunctionsAreShownWithTheirPolicyWorkersAndLastHour(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		release := w.busy()
		defer release()
		w.golden("functions", w.get("/functions"))
	})
}

func TestFunctionsThatAreNotDeclaredAreShownAsFarAsTheyAreKnown(t *testing.T) {
	inWorld(t, setup{functions: []config.Func{{Name: "echo"}}}, func(w *world) {
		release := w.busy()
		defer release()
		body := w.get("/functions").body
		_, undeclared, found := strings.Cut(body, "Not declared here")
		require.True(w, found)
		for _, name := range []string{"absent", "fail", "hold"} {
			require.Contains(w, undeclared, `<a href="/functions/`+name+`">`)
		}
		require.NotContains(w, undeclared, "/functions/echo")
		a := w.get("/functions/fail")
		require.Equal(w, http.StatusOK, a.code)
		require.Contains(w, a.body, "Workers and callers know this function")
		require.NotContains(w, a.body, "Make the call")
		require.Equal(w, http.StatusNotFound, w.post("/functions/fail", url.Values{"args": {"{}"}}).code, "its policy is not known here")
	})
}

func TestAFunctionIsShownWithItsBackoffDrawnAndInNumbers(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.get("/functions/echo")
		require.Equal(w, http.StatusOK, a.code)
		w.golden("function", a)
		require.Contains(w, a.body, "given up after 4 attempts and 7 s to 7.7 s of waiting between them; each attempt may take 5 min.")
		require.Len(w, regexp.MustCompile(`<g class="bar">`).FindAllString(a.body, -1), 3)
		require.Contains(w, w.get("/functions/fail").body, "There is no retry: a call fails with its first attempt.")
	})
}

func TestAFunctionIsShownWithWhatItsCallsAreKnownByAndItsTags(t *testing.T) {
	f := config.Func{Name: "page", KeyFields: []string{"/url", "/size"}, Fresh: time.Hour, Tags: func(json.RawMessage) []string { return nil }}
	inWorld(t, setup{functions: []config.Func{f, {Name: "plain"}}}, func(w *world) {
		body := w.get("/functions/page").body
		require.Contains(w, body, "<dt>It is fresh for</dt><dd>1 h, then it is refreshed behind</dd>")
		require.Contains(w, body, "<dt>Calls are known by</dt><dd><code>/url</code>, <code>/size</code></dd>")
		require.Contains(w, body, "<dt>Tags</dt><dd><code>user:{/user}</code></dd>")
		body = w.get("/functions/plain").body
		for _, fact := range []string{"fresh for", "known by", "<dt>Tags"} {
			require.NotContains(w, body, fact)
		}
	})
}

func TestBackoffsWithoutEndAreDrawnAsFarAsCanBeSeen(t *testing.T) {
	long := config.Func{Name: "long", Timeout: -1, Retry: refcache.RetryPolicy{MaxRetries: 10000, BackoffFactor: 10, MaxDelay: -1, Backoff: "polite"}}
	inWorld(t, setup{functions: []config.Func{long}}, func(w *world) {
		a := w.get("/functions/long")
		require.Equal(w, http.StatusOK, a.code)
		require.Len(w, regexp.MustCompile(`<g class="bar">`).FindAllString(a.body, -1), 40)
		require.Contains(w, a.body, "and 9,960 more retries")
		require.Contains(w, a.body, "attempts have no limit of time")
		require.Contains(w, a.body, "workers' function <b>polite</b>")
		require.NotContains(w, a.body, "−")
		require.NotContains(w, a.body, "NaN")
		require.Contains(w, a.body, "100 years or more")
	})
}

func TestAnUnknownFunctionIsNotFoundAndTheNearestIsNamed(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.get("/functions/ecko")
		require.Equal(w, http.StatusNotFound, a.code)
		require.Contains(w, a.body, "did you mean echo?")
	})
}

func TestNamesWithSlashesHavePages(t *testing.T) {
	inWorld(t, setup{functions: []config.Func{{Name: "a/../b//c"}}}, func(w *world) {
		path := regexp.MustCompile(`href="(/functions/[^"]+)"`).FindStringSubmatch(w.get("/functions").body)
		require.NotNil(w, path)
		a := w.get(path[1])
		require.Equal(w, http.StatusOK, a.code)
		require.Contains(w, a.body, "<h1>a/../b//c</h1>")
		require.Contains(w, a.body, `action="`+path[1]+`"`)
	})
}

func TestACallIsMadeFromAFormAndLandsOnItsPage(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		a := w.post("/functions/echo", url.Values{"args": {"{\r\n \"n\": 9007199254740993\r\n}"}})
		require.Equal(w, http.StatusSeeOther, a.code, a.body)
		ref, err := refcache.ParseRef(strings.TrimPrefix(a.header.Get("Location"), "/calls/"))
		require.NoError(w, err)
		res, err := w.p.Wait(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, `{"n":9007199254740993}`, string(res.Value))
		require.Regexp(w, `msg=change who=anybody role=operator remote=192.0.2.7 what=call ref_id=`+string(ref)+` from="" to=pending`, w.log.String())
		again := w.post("/functions/echo", url.Values{"args": {`{"n":9007199254740993}`}})
		require.Equal(w, a.header.Get("Location"), again.header.Get("Location"), "the same arguments are the same call")
	})
}

func TestAFailedCallIsMadeAgainOnlyIfAsked(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		ref := w.call("fail", `1`)
		cycle := func() int {
			time.Sleep(time.Second)
			info, err := w.p.Info(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, refcache.Failed, info.Status)
			return info.Cycle
		}
		require.Equal(w, http.StatusSeeOther, w.post("/functions/fail", url.Values{"args": {"1"}}).code)
		require.Equal(w, 1, cycle())
		require.Equal(w, http.StatusSeeOther, w.post("/functions/fail", url.Values{"args": {"1"}, "retry_failed": {"on"}}).code)
		require.Equal(w, 2, cycle())
	})
}

func TestACompleteCallIsRunAgainOnlyIfAsked(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		ref := w.call("echo", `1`)
		for asked, cycle := range map[string]int{"nothing": 1, "refresh": 2} {
			w.post("/functions/echo", url.Values{"args": {"1"}, asked: {"on"}})
			time.Sleep(time.Second)
			info, err := w.p.Info(w.Context(), ref)
			require.NoError(w, err)
			require.GreaterOrEqual(w, info.Cycle, cycle, asked)
		}
		info, err := w.p.Info(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, 2, info.Cycle)
	})
}

func TestWrongArgumentsAreShownWithWhatIsWrongBesideThem(t *testing.T) {
	inWorld(t, setup{maxArgs: 1000}, func(w *world) {
		for args, wrong := range map[string]string{
			"{\r\n  \"ä\": x}":                   `line 2, column 8: invalid character &#39;x&#39; looking for beginning of value`,
			`{"a":1`:                             `line 1, column 6: unexpected end of JSON input`,
			`{"a":1,"a":2}`:                      `duplicate key &#34;a&#34;`,
			`</textarea><script>x</script>`:      `line 1, column 1: invalid character &#39;&lt;&#39; looking for beginning of value`,
			"":                                   `empty, want one JSON value such as {}`,
			" ":                                  `empty, want one JSON value such as {}`,
			`"` + strings.Repeat("x", 999) + `"`: `1,001 bytes are more than max_args of config.yaml, which is 1,000`,
		} {
			a := w.post("/functions/echo", url.Values{"args": {args}, "refresh": {"on"}})
			require.Equal(w, http.StatusUnprocessableEntity, a.code, args)
			require.Contains(w, a.body, wrong)
			require.Contains(w, a.body, `aria-invalid="true" autofocus`)
			require.Contains(w, a.body, `name="refresh" checked`)
			require.NotContains(w, a.body, "<script>x")
		}
		a := w.post("/functions/echo", url.Values{"args": {"{\r\n  \"a\": <}"}})
		require.Contains(w, a.body, ">\n{\n  &#34;a&#34;: &lt;}</textarea>", "what was typed is kept")
		w.golden("function_wrong_arguments", a)
		sizes, err := w.a.Sizes(w.Context())
		require.NoError(w, err)
		require.Empty(w, sizes, "nothing was called")
		require.Equal(w, http.StatusRequestEntityTooLarge, w.post("/functions/echo", url.Values{"args": {strings.Repeat("x", 1<<20)}}).code)
	})
}

func TestAFormMayBeginWithArguments(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.get("/functions/echo?args=" + url.QueryEscape(`{"a":"</textarea>"}`))
		require.Contains(w, a.body, ">\n{&#34;a&#34;:&#34;&lt;/textarea&gt;&#34;}</textarea>")
	})
}

func TestWhoMayOnlyLookIsOfferedNoFormAndRefused(t *testing.T) {
	credentials, err := access.ParseCredentials("viewer:ann:aaaaaaaaaaaa operator:bob:bbbbbbbbbbbb")
	require.NoError(t, err)
	for name, c := range map[string]access.Config{"viewer": {Credentials: credentials}, "read-only": {Credentials: credentials, ReadOnly: true}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, setup{guard: c}, func(w *world) {
				secret := map[string]string{"viewer": "Bearer aaaaaaaaaaaa", "read-only": "Bearer bbbbbbbbbbbb"}[name]
				a := w.get("/functions/echo", "Authorization", secret)
				require.Equal(w, http.StatusOK, a.code)
				require.NotContains(w, a.body, "<form")
				require.Contains(w, a.body, "You may look here, but not make calls.")
				require.Equal(w, http.StatusForbidden, w.post("/functions/echo", url.Values{"args": {"{}"}}, "Authorization", secret).code)
			})
		})
	}
}

func TestFormsOfOtherSitesMakeNoCalls(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.post("/functions/echo", url.Values{"args": {"{}"}}, "Sec-Fetch-Site", "cross-site")
		require.Equal(w, http.StatusForbidden, a.code)
		sizes, err := w.a.Sizes(w.Context())
		require.NoError(w, err)
		require.Empty(w, sizes)
	})
}

func TestCommandsAreRedacted(t *testing.T) {
	inWorld(t, setup{redact: []string{"hush"}}, func(w *world) {
		w.pages = w.handlerOf(setup{redact: []string{"hush"}}, config.Function{Func: config.Func{Name: "x"}, Exec: []string{"sh", "--key=hush"}})
		for _, path := range []string{"/functions", "/functions/x"} {
			require.Contains(w, w.get(path).body, "sh --key=***")
		}
	})
}

// A function's name comes from whoever calls it: what it says on a page is text.
func TestNamesOfStrangersAreTextOnPages(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		const name = `<img/src=x/onerror=alert(1)>"'`
		rdb := w.Server.Client()
		defer rdb.Close()
		require.NoError(w, rdb.SAdd(w.Context(), "refq:queues", "default").Err())
		require.NoError(w, rdb.HSet(w.Context(), "refq:{default}:stats:15778080", name+" new", 3, name+" failed", 2).Err()) // 2000-01-01 00:00
		for _, path := range []string{"/", "/functions", "/functions/" + url.PathEscape(name)} {
			a := w.get(path)
			require.Equal(w, http.StatusOK, a.code, path)
			require.Contains(w, a.body, "&lt;img/src=x/onerror=alert(1)&gt;", path)
			require.NotContains(w, a.body, "<img", path)
		}
	})
}
