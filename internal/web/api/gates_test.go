package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	kit "github.com/refq/refq/internal/testkit/world"
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
	time.Sleep(time.Second)
}

// gateFields are an answer about a gate, as JSON.
type gateFields struct {
	Gate    string
	Running int
	Waiting int
	Set     map[string]any
	Numbers map[string]any
}

func TestGatesAreToldAndTheKeysOfOneByThePage(t *testing.T) {
	inWorld(t, setup{redact: []string{"hush-[0-9]"}}, func(w *world) {
		w.fetching("hush-1", "hush-1x", "host-2")
		var all struct{ Gates []gateFields }
		a := w.ask("GET", "/gates", "")
		require.NoError(w, json.Unmarshal([]byte(a.body), &all))
		require.Len(w, all.Gates, 1)
		require.Equal(w, gateFields{Gate: "hosts", Running: 2, Waiting: 1,
			Numbers: map[string]any{"each": 1.0, "all": 0.0, "rate": "0", "burst": 0.0, "most_waiting": 0.0}}, all.Gates[0])
		require.Equal(w, a.body, w.ask("GET", "/gates?queue=media", "").body)
		require.Equal(w, "{\"gates\":[]}\n", w.ask("GET", "/gates?queue=default", "").body)

		first := w.ask("GET", "/gates/media/hosts?limit=1", "")
		require.Equal(w, http.StatusOK, first.code, first.body)
		require.Contains(w, first.body, `"keys":[{"key":"***","running":1,"waiting":1,`)
		second := w.ask("GET", "/gates/media/hosts?limit=1&cursor="+first.fields(w)["next"].(string), "")
		require.Contains(w, second.body, `"keys":[{"key":"host-2","running":1,"waiting":0,`)
		require.Nil(w, second.fields(w)["next"])
	})
}

func TestAGateIsSetAndReset(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fetching("host-1", "host-1x", "host-1y")
		a := w.ask("PUT", "/gates/media/hosts", `{"each":2,"all":"slots","rate":"5000/s","most_waiting":0,"for":"1h"}`)
		require.Equal(w, http.StatusOK, a.code, a.body)
		var g gateFields
		require.NoError(w, json.Unmarshal([]byte(a.body), &g))
		require.Equal(w, map[string]any{"each": 2.0, "all": "slots", "rate": "5000/s", "burst": 50.0, "most_waiting": 0.0}, g.Numbers)
		require.Equal(w, []int{2, 1}, []int{g.Running, g.Waiting})
		require.Equal(w, "anybody@pipe", g.Set["by"])
		require.Contains(w, w.log.String(), `what=set_gate ref_id="" from="" to="each 2, all slots, rate 5000/s, most_waiting 0, for 1h0m0s" scope="gate hosts of queue media"`)

		a = w.ask("PUT", "/gates/media/hosts", `{"rate":0,"all":3,"each":null}`)
		require.NoError(w, json.Unmarshal([]byte(a.body), &g))
		require.Equal(w, map[string]any{"each": 1.0, "all": 3.0, "rate": "0", "burst": 0.0, "most_waiting": 0.0}, g.Numbers)
		require.Nil(w, g.Set["each"])
		require.Nil(w, g.Set["until"])

		require.Equal(w, http.StatusNoContent, w.ask("DELETE", "/gates/media/hosts", "").code)
		require.Contains(w, w.ask("GET", "/gates", "").body, `"set":null`)
		require.Contains(w, w.log.String(), "what=reset_gate")
	})
}

func TestWhatNoGateCanBeIsRefused(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.fetching()
		for body, want := range map[string]string{
			`{}`:                          "nothing is set",
			`{"each":-1}`:                 "each is -1, must be 0 or more",
			`{"burst":5}`:                 "burst is 5, must stand beside a rate",
			`{"rate":0,"burst":5}`:        "burst is 5, must stand beside a rate",
			`{"rate":"20000/s"}`:          "rate is 20000 in 1s, must be at most 10000 in 1s",
			`{"each":1,"for":"2000000h"}`: "for is 2000000h0m0s, must be",
		} {
			require.Contains(w, w.ask("PUT", "/gates/media/hosts", body).problem(w, http.StatusUnprocessableEntity, "invalid-setting"), want)
		}
		for _, body := range []string{`[`, `{"eech":1}`, `{"all":-1}`, `{"all":"slot"}`, `{"rate":"50"}`, `{"for":"soon"}`, `{"each":"1"}`} {
			w.ask("PUT", "/gates/media/hosts", body).problem(w, http.StatusBadRequest, "bad-request")
		}
		w.ask("PUT", "/gates/media/hosts", strings.Repeat(" ", 2<<20)).problem(w, http.StatusRequestEntityTooLarge, "args-too-large")
		for _, o := range [][3]string{{"GET", "/gates?queue=a/b", ""}, {"GET", "/gates?x=1", ""}, {"GET", "/gates/media/hosts?limit=0", ""},
			{"GET", "/gates/a=b/hosts", ""}, {"PUT", "/gates/a=b/hosts", `{"each":1}`}, {"DELETE", "/gates/media/hosts", "x"}} {
			w.ask(o[0], o[1], o[2]).problem(w, http.StatusBadRequest, "bad-request")
		}
		w.ask("GET", "/gates/media/hosts?cursor=x", "").problem(w, http.StatusBadRequest, "invalid-cursor")
		for _, o := range [][3]string{{"GET", "/gates/media/horses", ""}, {"PUT", "/gates/media/horses", `{"each":1}`}, {"DELETE", "/gates/media/horses", ""}} {
			require.Contains(w, w.ask(o[0], o[1], o[2]).problem(w, http.StatusNotFound, "gate-not-found"), "queue media has hosts")
		}
		require.Equal(w, "GET, HEAD, PUT, DELETE", w.ask("POST", "/gates/media/hosts", "").header.Get("Allow"))
		require.Contains(w, w.ask("GET", "/gates", "").body, `"set":null`)
	})
}
