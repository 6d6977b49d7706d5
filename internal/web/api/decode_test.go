package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsWrongInARequestIsSaidInTheWordsOfJSON(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		for body, want := range map[string]string{
			`{"func":"echo","options":{"foo":1}}`:       "unknown member /options/foo",
			`{"func":1}`:                                "/func cannot be a number",
			`{"func":"echo","options":{"refresh":"x"}}`: "/options/refresh cannot be a text",
			`{"func":"echo","wait":""}`:                 "/wait: an empty text is no value",
			`[]`:                                        "it cannot be an array",
			`{"func":"echo"} x`:                         "after top-level value",
		} {
			a := w.ask("POST", "/calls", body)
			require.Equal(w, http.StatusBadRequest, a.code)
			require.Contains(w, a.fields(w)["detail"], want)
			require.NotContains(w, a.body, "Go ")
		}
	})
}
