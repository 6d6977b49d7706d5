package ui_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/web/access"
)

func TestEveryPageStandsInTheSameFrame(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.get("/no/such/page")
		require.Equal(w, http.StatusNotFound, a.code)
		require.Equal(w, "text/html; charset=utf-8", a.header.Get("Content-Type"))
		require.Equal(w, "no-store", a.header.Get("Cache-Control"))
		w.golden("no_such_page", a)
	})
}

func TestPagesRunNothingThatTheirPolicyForbids(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.get("/")
		require.Contains(w, a.header.Get("Content-Security-Policy"), "default-src 'none'")
		require.NotContains(w, a.header.Get("Content-Security-Policy"), "unsafe")
		require.NotRegexp(w, `<style|\sstyle=|\son[a-z]+=|<script>|javascript:`, a.body)
	})
}

func TestPathsOfStrangersAreTextOnPages(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.get("/%3Cscript%3Ealert(1)%3C/script%3E")
		require.Equal(w, http.StatusNotFound, a.code)
		require.NotContains(w, a.body, "<script>alert")
		require.Contains(w, a.body, "&lt;script&gt;alert(1)")
	})
}

func TestStaticFilesAreKeptUntilTheyChange(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		page := w.get("/").body
		for _, name := range []string{"refq.css", "refq.js", "icon.svg"} {
			path := regexp.MustCompile(`/static/` + name + `\?v=[0-9a-f]+`).FindString(page)
			require.NotEmpty(w, path, name)
			a := w.get(path)
			require.Equal(w, http.StatusOK, a.code)
			require.Contains(w, a.header.Get("Cache-Control"), "immutable")
			require.NotContains(w, a.header.Get("Content-Type"), "text/plain")
			require.Equal(w, "no-cache", w.get("/static/"+name).header.Get("Cache-Control"))
			require.Equal(w, http.StatusNotModified, w.get("/static/"+name, "If-None-Match", a.header.Get("Etag")).code)
		}
		require.Equal(w, http.StatusNotFound, w.get("/static/nothing.css").code)
		require.NotEqual(w, http.StatusOK, w.get("/static/..%2Fui.go").code)
	})
}

func TestNothingCanBeSentWhereNothingIsTaken(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		require.Equal(w, http.StatusMethodNotAllowed, w.post("/", nil).code)
	})
}

func TestTheFrameSaysWhoMayOnlyLook(t *testing.T) {
	inWorld(t, setup{guard: access.Config{ReadOnly: true}}, func(w *world) {
		require.Contains(w, w.get("/").body, `<span class="tag">read-only</span>`)
	})
}
