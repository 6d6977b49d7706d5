package browser

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store/storetest"
)

func TestThePageOfAnotherSiteChangesNothing(t *testing.T) {
	ref := program.call(t, "steps", "cross-site", "0")
	program.until(t, ref, "processing")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	evil := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<link rel="icon" href="data:,"><form method="post" action="%s/calls/%s/cancel"><button>A kitten</button></form>
			<form method="post" action="%s/api/v1/calls/%s/cancel"><button>A puppy</button></form>`, program.url, ref, program.url, ref)
	}))
	_ = evil.Listener.Close()
	evil.Listener = l
	evil.Start()
	t.Cleanup(evil.Close)
	b := open(t)
	for _, bait := range []string{"A kitten", "A puppy"} {
		// Another name: to browsers 127.0.0.1 with another port is the same site.
		b.goTo(fmt.Sprintf("http://localhost:%d/", l.Addr().(*net.TCPAddr).Port))
		b.click(bait)
		b.sees("a page of another origin may not change anything here")
		require.Equal(t, "processing", program.status(t, ref))
	}
	require.NotEmpty(t, b.forgive(), "403 is an error to the browser")
}

const hostile = `<script>window.hurt=1</script><img src=x onerror=window.hurt=1>"'>{{.}}<svg/onload=window.hurt=1>`

func TestHostileTextsAreNothingButTexts(t *testing.T) {
	echoed := program.call(t, "echo", map[string]any{hostile: hostile}, "60s")
	failed := program.call(t, "broken", hostile, "60s")
	// A function of that name cannot be declared, but a record may say so.
	require.NoError(t, storetest.Set(t.Context(), program.rdb, "refq:{default}:t:"+failed[len("default:"):], "func", hostile))
	b := open(t)
	b.visit("/calls/" + failed)
	b.until(`document.querySelector("h1").textContent.includes("<script>window.hurt=1</script>")`) // the function
	for _, page := range []struct{ path, text string }{
		{"/calls/" + echoed, `<script>window.hurt=1</script>`},
		{"/calls/" + failed, `<img src=x onerror=window.hurt=1>`},
		{"/calls?status=failed", `<img src=x onerror=window.hurt=1>`},
		{"/calls?status=failed&group=error", `<img src=x onerror=window.hurt=1>`},
		{"/calls/retry?status=failed", `<img src=x onerror=window.hurt=1>`},
		{"/queues/queues/default/tasks/" + failed, `<img src=x onerror=window.hurt=1>`},
		{"/queues/queues/default?status=archived", `<img src=x onerror=window.hurt=1>`},
		{"/", ""},
	} {
		b.visit(page.path)
		b.sees(page.text)
		b.until(`document.readyState == "complete"`)
		require.False(t, must[bool](b, `"hurt" in window`), page.path)
		require.Zero(t, must[int](b, `document.querySelectorAll("[onerror], [onload]").length`), page.path)
	}
	require.Empty(t, b.forgive(), "not even a policy had to step in")
}
