package browser

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// The pictures in the documents: make screenshots.
func TestPagesAsTheDocumentsShowThem(t *testing.T) {
	if screenshots == "" {
		t.Skip("REFQ_SCREENSHOTS names no folder for the pictures")
	}
	for n := range 12 {
		program.call(t, "thumbnail", map[string]any{"image": fmt.Sprintf("beach-%02d.jpg", n%8), "width": 320}, "0")
	}
	var failed string
	for n := range 3 {
		failed = program.call(t, "invoice", map[string]any{"customer": 4711 + n, "month": "2026-10"}, "60s")
	}
	res, err := http.Post(program.url+"/api/v1/calls/"+failed+"/retry?fresh=true", "", nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	program.until(t, failed, "failed")
	runs := program.call(t, "steps", "film", "0")
	program.let(t, "film.1")
	program.let(t, "film.2")
	b := open(t)
	for name, path := range map[string]string{"web-overview": "/", "web-call": "/calls/" + failed, "web-running": "/calls/" + runs,
		"web-function": "/functions/invoice", "web-calls": "/calls?status=failed", "web-queues": "/queues/queues/default?status=archived"} {
		b.visit(path)
		b.until(`document.querySelector("main h1, main table")`)
		b.shoot(name)
	}
}
