package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatIsPausedIsToldAndResumed(t *testing.T) {
	for _, target := range []string{`"func":"echo"`, `"func":"echo@1"`, `"queue":"default"`} {
		t.Run(target, func(t *testing.T) {
			inWorld(t, setup{redact: []string{"secret-[0-9]+"}}, func(w *world) {
				w.work()
				w.ended(`{"func":"echo","args":1,"wait":"10s"}`)
				require.JSONEq(w, `{"pauses":[]}`, w.ask("GET", "/pauses", "").body)
				paused := w.ask("POST", "/pause", `{`+target+`,"for":"1h","reason":"release secret-7"}`)
				require.Equal(w, http.StatusOK, paused.code, paused.body)
				require.Contains(w, paused.body, target)
				require.Equal(w, "release ***", paused.fields(w)["reason"])
				require.Equal(w, "anybody@pipe", paused.fields(w)["by"])
				require.JSONEq(w, `{"pauses":[`+paused.body+`]}`, w.ask("GET", "/pauses", "").body)
				require.Contains(w, w.log.String(), "what=pause")

				call := w.ask("POST", "/calls", `{"func":"echo","args":2,"wait":"2s"}`)
				require.Equal(w, http.StatusAccepted, call.code)
				require.Equal(w, paused.fields(w), call.fields(w)["paused"])
				require.Contains(w, call.fields(w)["message"], "is paused by anybody@pipe, ")
				require.Contains(w, call.fields(w)["message"], "release ***")
				task := w.ask("GET", "/calls/"+call.ref(w)+"/task", "")
				require.Equal(w, paused.fields(w), task.fields(w)["paused"])
				require.NotContains(w, task.body, "secret-7")

				for _, was := range []string{"true", "false"} {
					a := w.ask("POST", "/resume", `{`+target+`}`)
					require.Equal(w, http.StatusOK, a.code)
					require.Contains(w, a.body, `"resumed":`+was)
				}
				require.Contains(w, w.log.String(), "what=resume")
				require.Equal(w, "complete", w.ask("GET", "/calls/"+call.ref(w)+"?wait=10s", "").fields(w)["status"])
			})
		})
	}
}

func TestAPauseOfNothingIsRefused(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.pending()
		for _, path := range []string{"/pause", "/resume"} {
			for body, want := range map[string]int{
				`{}`:                             http.StatusBadRequest,
				`{"queue":"default","func":"a"}`: http.StatusBadRequest,
				`{"func":"a@x"}`:                 http.StatusBadRequest,
				`{"func":"a","for":"soon"}`:      http.StatusBadRequest,
				`{"func":"a","for":-1}`:          http.StatusBadRequest,
				`{"func":"a","reason":"` + strings.Repeat("x", 501) + `"}`: http.StatusBadRequest,
				`{"fnc":"a"}`:              http.StatusBadRequest,
				`[`:                        http.StatusBadRequest,
				strings.Repeat(" ", 2<<20): http.StatusRequestEntityTooLarge,
				`{"queue":"nosuch"}`:       http.StatusUnprocessableEntity,
			} {
				a := w.ask("POST", path, body)
				require.Equal(w, want, a.code, "%s %.80s: %s", path, body, a.body)
			}
			require.Equal(w, http.StatusBadRequest, w.ask("POST", path+"?x=1", `{"func":"a"}`).code)
			w.ask("POST", path, `{"gate":"nosuch"}`).problem(w, http.StatusNotFound, "gate-not-found")
		}
		w.ask("POST", "/pause", `{"queue":"nosuch"}`).problem(w, http.StatusUnprocessableEntity, "unknown-queue")
		w.ask("POST", "/resume", `{"func":"a","for":1}`).problem(w, http.StatusBadRequest, "bad-request")
		w.ask("GET", "/pauses?x=1", "").problem(w, http.StatusBadRequest, "bad-request")
		require.JSONEq(w, `{"pauses":[]}`, w.ask("GET", "/pauses", "").body)
	})
}

func TestAPauseOfAsynqsButtonIsListed(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.pending()
		w.Redis.Set(w.Context(), "asynq:{media}:paused", time.Now().Unix(), 0)
		a := w.ask("GET", "/pauses", "")
		require.Contains(w, a.body, `"queue":"media","func":null,"gate":null,"key":null,"by":null,"at":"`)
		require.Contains(w, a.body, `"until":null,"reason":null}`)
	})
}
