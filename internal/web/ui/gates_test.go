package ui_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var fetch = refcache.Func[string, string]{Name: "fetch", Queue: "media", AsyncTimeout: -1, Gate: refcache.Gate{Name: "hosts", Each: 1},
	Turn: func(host string) refcache.Turn { return refcache.Turn{Key: host[:6]} }}

// fetching has a worker run a call of each key, and others wait.
func (w *world) fetching(calls ...string) {
	w.Helper()
	w.Start(worker.Config{ShutdownTimeout: -1}, kit.Handles(fetch, func(ctx context.Context, _ string) (string, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}))
	time.Sleep(time.Second)
	for _, in := range calls {
		_, err := producer.Submit(w.Context(), w.p, fetch, in)
		require.NoError(w, err)
	}
	time.Sleep(10 * time.Second)
}

func TestGatesAreShownWithWhatRunsAndWaits(t *testing.T) {
	inWorld(t, setup{redact: []string{"hush-[0-9]"}}, func(w *world) {
		require.Contains(w, w.get("/gates").body, "There is none")
		w.fetching("host-1", "host-1x", "host-2", "hush-3")
		w.golden("gates", w.get("/gates"))
		a := w.post("/gates/media/hosts/set", url.Values{"each": {"1"}, "rate": {"5000/s"}, "for": {"1h"}})
		require.Equal(w, http.StatusSeeOther, a.code, a.body)
		require.Equal(w, "/gates/media/hosts?said=set", a.header.Get("Location"))
		a = w.get("/gates/media/hosts")
		w.golden("gate", a)
		require.Contains(w, a.body, `5000/s, burst 50 <span class="muted">(declared no limit, set by anybody@192.0.2.7 <time`)
		require.NotContains(w, a.body, "hush-3")
		require.Contains(w, w.get("/gates/media/hosts?said=set").body, "The limits were set.")
		require.Contains(w, w.log.String(), `what=set_gate ref_id="" from="" to="each 1, rate 5000/s, for 1h0m0s" scope="gate hosts of queue media"`)

		a = w.post("/gates/media/hosts/reset", nil)
		require.Equal(w, "/gates/media/hosts?said=reset", a.header.Get("Location"))
		require.NotContains(w, w.get("/gates/media/hosts").body, "set by")
	})
}

func TestASettingThatCannotBeIsShownWithWhatIsWrong(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fetching()
		for wrong, form := range map[string]url.Values{
			"nothing is set": {},
			"each is &#34;x&#34;, must be a whole number":       {"each": {"x"}},
			"each is -1, must be 0 or more":                     {"each": {"-1"}},
			"all: &#34;slot&#34; is not a whole number":         {"all": {"slot"}},
			"rate: 50 is not a rate like 20/s":                  {"rate": {"50"}},
			"rate is 20000 in 1s, must be at most 10000":        {"rate": {"20000/s"}},
			"burst is 5, must stand beside a rate":              {"burst": {"5"}},
			"most waiting is &#34;y&#34;, must be a whole":      {"most_waiting": {"y"}},
			"for: &#34;soon&#34; is not a duration like":        {"each": {"1"}, "for": {"soon"}},
			"gate hosts: most_waiting is -7, must be 0 or more": {"most_waiting": {"-7"}},
		} {
			a := w.post("/gates/media/hosts/set", form)
			require.Equal(w, http.StatusUnprocessableEntity, a.code, wrong)
			require.Contains(w, a.body, wrong)
			for name, value := range form {
				if name != "for" {
					require.Contains(w, a.body, `name="`+name+`" value="`+value[0]+`"`, "what was typed is kept")
				}
			}
		}
		require.NotContains(w, w.get("/gates").body, "set by")
	})
}

func TestAGateThatIsNotThereIsNotFound(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fetching()
		for _, a := range []answer{w.get("/gates/media/horses"), w.get("/gates/default/hosts"), w.get("/gates/a=b/hosts"),
			w.post("/gates/media/horses/set", url.Values{"each": {"1"}}), w.post("/gates/media/horses/reset", nil)} {
			require.Equal(w, http.StatusNotFound, a.code)
		}
		require.Contains(w, w.get("/gates/media/horses").body, "queue media has hosts")
		require.Equal(w, http.StatusBadRequest, w.get("/gates/media/hosts?cursor=x").code)
	})
}

func TestKeysOfAGateArePaged(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		var calls []string
		for a := 'a'; a < 'k'; a++ {
			for b := 'a'; b < 'l'; b++ {
				calls = append(calls, "key-"+string([]rune{a, b}))
			}
		}
		w.fetching(calls...)
		first := w.get("/gates/media/hosts")
		second := w.get(link(first.body, "Next"))
		require.Contains(w, second.body, "key-jk")
		require.NotContains(w, second.body, "key-aa")
		require.Contains(w, second.body, `href="/gates/media/hosts">First`)
		require.NotContains(w, second.body, `rel="next"`)
	})
}

func TestWhoMayOnlyLookSetsNoGate(t *testing.T) {
	credentials, err := access.ParseCredentials("viewer:ann:aaaaaaaaaaaa")
	require.NoError(t, err)
	ann := []string{"Authorization", "Bearer aaaaaaaaaaaa"}
	inWorld(t, setup{guard: access.Config{Credentials: credentials}, functions: []config.Func{{Name: "echo"}}}, func(w *world) {
		w.fetching()
		a := w.get("/gates/media/hosts", ann...)
		require.Equal(w, http.StatusOK, a.code)
		require.NotContains(w, a.body, "<form")
		require.Contains(w, a.body, "not set limits")
		require.Equal(w, http.StatusForbidden, w.post("/gates/media/hosts/set", url.Values{"each": {"1"}}, ann...).code)
		require.Equal(w, http.StatusForbidden, w.post("/gates/media/hosts/reset", nil, ann...).code)
	})
}

func TestAPageThatFollowsGatesHearsOfSettings(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fetching()
		all, queues := w.open("gates"), w.open("queues")
		time.Sleep(5 * time.Second)
		all.heard()
		queues.heard()
		time.Sleep(5 * time.Second)
		require.Empty(w, all.heard(), "nothing has changed")
		w.post("/gates/media/hosts/set", url.Values{"each": {"7"}})
		time.Sleep(3 * time.Second)
		require.Equal(w, changed, all.heard())
		require.Empty(w, queues.heard())
	})
}

func TestAGateAndAKeyArePausedAndResumedOnTheGatesPage(t *testing.T) {
	for name, form := range map[string]url.Values{"gate": {}, "key": {"key": {"host-1"}}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, setup{}, func(w *world) {
				w.fetching("host-1", "host-1x")
				form.Set("queue", "media")
				form.Set("gate", "hosts")
				form.Set("reason", "release")
				a := w.post("/pause", form)
				require.Equal(w, "/gates/media/hosts?said=paused", a.header.Get("Location"), a.body)
				body := w.get(a.header.Get("Location")).body
				require.Contains(w, body, "It is paused: workers start none of its calls.")
				require.Regexp(w, `ink-retrying">paused by anybody@192\.0\.2\.7 .*: release`, body)
				require.Contains(w, body, "Resume</button>")
				a = w.post("/resume", form)
				require.Equal(w, "/gates/media/hosts?said=resumed", a.header.Get("Location"), a.body)
				require.NotContains(w, w.get("/gates/media/hosts").body, "paused by")
			})
		})
	}
}

func TestWhoMayOnlyLookPausesNoGate(t *testing.T) {
	inWorld(t, setup{guard: access.Config{ReadOnly: true}}, func(w *world) {
		w.fetching("host-1", "host-1x")
		require.NotContains(w, w.get("/gates/media/hosts").body, "Pause…")
		require.Equal(w, http.StatusForbidden, w.post("/pause", url.Values{"queue": {"media"}, "gate": {"hosts"}}).code)
	})
}
