package ui_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/web/access"
)

func TestAQueueAndAFunctionArePausedAndResumedOnPages(t *testing.T) {
	for path, form := range map[string]url.Values{"/": {"queue": {"default"}}, "/functions/echo": {"func": {"echo"}}} {
		t.Run(path, func(t *testing.T) {
			inWorld(t, setup{redact: []string{"secret-[0-9]+"}}, func(w *world) {
				w.call("echo", `1`)
				require.Contains(w, w.get(path).body, "Pause…")
				form.Set("reason", "release secret-7")
				form.Set("for", "1h")
				a := w.post("/pause", form)
				require.Equal(w, http.StatusSeeOther, a.code, a.body)
				require.Equal(w, path+"?said=paused", a.header.Get("Location"))
				body := w.get(a.header.Get("Location")).body
				require.Contains(w, body, "It is paused: workers start none of its calls.")
				require.Regexp(w, `is paused by anybody@192\.0\.2\.7, .* to .*: release \*\*\*`, body)
				require.Contains(w, body, "Resume</button>")
				require.NotContains(w, body, "secret-7")
				require.Contains(w, w.log.String(), "what=pause")
				require.Contains(w, w.get("/").body, `id="finding-paused"`)

				for _, said := range []string{"resumed", "not-paused"} {
					a = w.post("/resume", form)
					require.Equal(w, path+"?said="+said, a.header.Get("Location"))
					body = w.get(a.header.Get("Location")).body
					require.NotContains(w, body, "is paused by")
					require.Contains(w, body, `resumed`)
				}
				require.Contains(w, w.log.String(), "what=resume")
			})
		})
	}
}

func TestAVersionThatIsPausedIsResumedOnItsFunctionsPage(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.call("echo", `1`)
		require.Equal(w, "/functions/echo?said=paused", w.post("/pause", url.Values{"func": {"echo@2"}}).header.Get("Location"))
		body := w.get("/functions/echo").body
		require.Contains(w, body, "function echo@2 is paused by")
		require.Contains(w, body, `value="echo@2"`)
		require.Contains(w, body, "Pause…", "all versions may be paused besides")
		require.NotContains(w, w.get("/functions/fail").body, "is paused by")
	})
}

func TestAPauseByAsynqsButtonIsShown(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.call("echo", `1`)
		w.Redis.Set(w.Context(), "asynq:{default}:paused", time.Now().Unix(), 0)
		require.Contains(w, w.get("/").body, "queue default is paused since ")
	})
}

func TestAPauseThatCannotBeIsRefused(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.call("echo", `1`)
		for code, forms := range map[int][]url.Values{
			http.StatusUnprocessableEntity: {{}, {"queue": {"a"}, "func": {"b"}}, {"func": {"echo"}, "for": {"soon"}}, {"func": {"echo"}, "for": {"-1s"}}},
			http.StatusNotFound:            {{"queue": {"nosuch"}}},
		} {
			for _, form := range forms {
				require.Equal(w, code, w.post("/pause", form).code, form)
			}
		}
	})
}

func TestWhoMayOnlyLookPausesNothing(t *testing.T) {
	inWorld(t, setup{guard: access.Config{ReadOnly: true}}, func(w *world) {
		w.call("echo", `1`)
		w.Redis.Set(w.Context(), "asynq:{default}:paused", time.Now().Unix(), 0)
		body := w.get("/").body
		require.Contains(w, body, "queue default is paused since ")
		require.NotContains(w, body, "Resume</button>")
		require.NotContains(w, body, "Pause…")
		require.Equal(w, http.StatusForbidden, w.post("/pause", url.Values{"queue": {"default"}}).code)
		require.Equal(w, http.StatusForbidden, w.post("/resume", url.Values{"queue": {"default"}}).code)
	})
}
