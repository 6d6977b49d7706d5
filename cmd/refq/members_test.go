//go:build unix

package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// A worker in Go declares what its type of arguments knows; ref and doctor tell what does not fit.
func TestMembersThatNoWorkerKnowsAreTold(t *testing.T) {
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	rdb := server.Client()
	defer rdb.Close()
	type in struct {
		URL  string `json:"url"`
		Page int    `json:"page"`
		Size int    `json:"size,omitzero"`
	}
	w := worker.New(rdb, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	worker.Handle(w, refcache.Func[in, int]{Name: "thumb"}, func(context.Context, in) (int, error) { return 0, nil })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	require.Eventually(t, func() bool { return w.Ready() == nil }, time.Minute, 10*time.Millisecond)

	t.Chdir(writeConfig(t, "functions: {thumb: {args: {pages: 0}}}"))
	refq := func(args ...string) (code int, out, errs string) {
		var stdout, stderr strings.Builder
		code = run(t.Context(), append(args, "--redis", "redis://"+server.Addr()), strings.NewReader(""), &stdout, &stderr,
			func(string) (string, bool) { return "", false })
		return code, stdout.String(), stderr.String()
	}
	code, out, errs := refq("ref", "thumb", `{"url":"u","siez":1}`)
	require.Zero(t, code)
	require.Contains(t, out, `{"pages":0,"siez":1,"url":"u"}`)
	require.Equal(t, `refq: no living worker knows member "pages" of thumb
refq: no living worker knows member "siez" of thumb
refq: callers in Go always write member "page" of thumb: theirs is another call; args: in config.yaml adds it
`, errs)
	_, out, _ = refq("doctor")
	require.Contains(t, out, `args: of thumb adds member "pages", which no living worker knows: its calls are handed on`)
	_, out, _ = refq("doctor", "-o", "json")
	require.Contains(t, out, `"id":"args","level":"warning"`)
	stop()
	require.NoError(t, <-ended)
}
