package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatIsInvalidatedIsMadeAnew(t *testing.T) {
	for _, body := range []string{`{"tags":["user:7"]}`, `{"tags":["x","user:7"]}`, `{"func":"tagged"}`, `{"whole_namespace":true}`} {
		t.Run(body, func(t *testing.T) {
			inWorld(t, setup{}, func(w *world) {
				w.work()
				call := func() string {
					return w.ended(`{"func":"tagged","args":{"user":7},"wait":"10s"}`).fields(w)["cache"].(string)
				}
				require.Equal(w, "miss", call())
				require.Equal(w, http.StatusOK, w.ask("POST", "/invalidations", `{"tags":["user:8"]}`).code)
				require.Equal(w, "hit", call())
				a := w.ask("POST", "/invalidations", body)
				require.Equal(w, http.StatusOK, a.code, a.body)
				require.Subset(w, a.fields(w), map[string]any{"whole_namespace": body == `{"whole_namespace":true}`})
				time.Sleep(time.Millisecond)
				require.Equal(w, "miss", call())
				require.Contains(w, w.log.String(), "what=invalidate")
				require.Contains(w, w.log.String(), `scope="tag user:8"`)
			})
		})
	}
}

func TestArgumentsWhoseTagsCannotBeAreRefused(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.ask("POST", "/calls", `{"func":"spaced","wait":0}`).problem(w, http.StatusUnprocessableEntity, "invalid-arguments")
	})
}

func TestAnInvalidResultIsFreshForNobody(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		call := `{"func":"flaky","wait":"10s","options":{"max_retries":0}}`
		require.Contains(w, w.ask("POST", "/calls", call).header.Get("Cache-Status"), "fwd=miss")
		require.Equal(w, http.StatusOK, w.ask("POST", "/invalidations", `{"whole_namespace":true}`).code)
		time.Sleep(time.Millisecond)
		for _, want := range []string{"refq; fwd=miss", "refq; hit; ttl=0; detail=tag"} {
			a := w.ask("POST", "/calls", call)
			require.Equal(w, "tag", a.fields(w)["stale_reason"])
			require.Contains(w, a.header.Get("Cache-Status"), want)
		}
	})
}

func TestAnInvalidationOfNothingIsRefused(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		for body, want := range map[string]int{
			`{}`:                           http.StatusBadRequest,
			`{"tags":[]}`:                  http.StatusBadRequest,
			`{"tags":["a"],"func":"echo"}`: http.StatusBadRequest,
			`{"tags":["New York"]}`:        http.StatusBadRequest,
			`{"tag":"a"}`:                  http.StatusBadRequest,
			`[`:                            http.StatusBadRequest,
			strings.Repeat(" ", 2<<20):     http.StatusRequestEntityTooLarge,
			`{"func":"echo"}`:              http.StatusUnprocessableEntity, // it has no tags
			`{"func":"nosuch"}`:            http.StatusUnprocessableEntity,
		} {
			a := w.ask("POST", "/invalidations", body)
			require.Equal(w, want, a.code, "%s: %s", body, a.body)
		}
		require.Contains(w, w.ask("POST", "/invalidations", `{"func":"echo"}`).body, "echo has no tags: give it tags: []")
		require.Equal(w, http.StatusBadRequest, w.ask("POST", "/invalidations?dry_run=1", `{"tags":["a"]}`).code)
		require.Equal(w, http.StatusMethodNotAllowed, w.ask("GET", "/invalidations", "").code)
		require.Zero(w, w.Redis.DBSize(w.Context()).Val(), "nothing is written")
	})
}
