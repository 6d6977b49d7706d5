package ui_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/redact"
	"github.com/refq/refq/internal/testkit"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/internal/web/ui"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var update = flag.Bool("update", false, "write the golden pages anew")

func TestMain(m *testing.M) { testkit.Main(m) }

// world is the pages behind their guard, in a bubble. A worker joins with work.
type world struct {
	*kit.World
	p     *producer.Producer
	a     *admin.Admin
	log   *safeBuffer
	pages http.Handler
}

// setup is what a test wants to be different.
type setup struct {
	guard       access.Config
	redact      []string
	functions   []config.Func // instead of declared
	maxRequests int
	maxArgs     int
}

type raw = json.RawMessage

// declared are the functions of the server; work knows how to run those of queue default.
var declared = []config.Func{{Name: "echo"}, {Name: "fail", Retry: refcache.RetryPolicy{MaxRetries: refcache.NoRetries}},
	{Name: "hold"}, {Name: "absent", Queue: "media"}}

func inWorld(t *testing.T, s setup, test func(w *world)) {
	t.Helper()
	kit.In(t, func(k *kit.World) {
		w := &world{World: k, log: &safeBuffer{}}
		w.p = k.NewProducer(producer.Config{MaxArgs: s.maxArgs})
		w.a = k.NewAdmin(admin.Config{By: "server@host"})
		w.serve(s)
		test(w)
	})
}

func (w *world) serve(s setup) {
	if s.functions == nil {
		s.functions = declared
	}
	var functions []config.Function
	for _, f := range s.functions {
		fn := config.Function{Func: f}
		if f.Tags != nil {
			fn.Tags = []string{"user:{/user}"}
		}
		functions = append(functions, fn)
	}
	w.pages = w.handlerOf(s, functions...)
}

func (w *world) handlerOf(s setup, functions ...config.Function) http.Handler {
	cfg := config.Config{Path: "config.yaml", Namespace: "default", MaxArgs: cmp.Or(s.maxArgs, 1<<20), Functions: functions,
		Web: config.Web{MaxRequests: cmp.Or(s.maxRequests, 100), ReadOnly: s.guard.ReadOnly}}
	var err error
	cfg.Redact, err = redact.Parse(s.redact)
	require.NoError(w, err)
	log := slog.New(cfg.Redact.Handler(slog.NewTextHandler(w.log, nil)))
	s.guard.Logger = log
	return access.New(s.guard).Handler(ui.New(w.p, w.p, w.a, live.NewCalls(w.p), cfg, log))
}

// work runs a worker until the test ends. What runs on it as hold runs until release.
func (w *world) work() (release func()) {
	held := make(chan struct{})
	handles := func(name string, f func(context.Context, raw) (raw, error)) func(*worker.Worker) {
		return kit.Handles(refcache.Func[raw, raw]{Name: name}, f)
	}
	w.Start(worker.Config{ShutdownTimeout: -1},
		handles("echo", func(_ context.Context, in raw) (raw, error) { return in, nil }),
		handles("fail", func(_ context.Context, in raw) (raw, error) { return nil, errors.New("down: " + string(in)) }),
		handles("hold", func(ctx context.Context, in raw) (raw, error) {
			select {
			case <-held:
				return in, nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}))
	return sync.OnceFunc(func() { close(held) })
}

// call makes a call, and waits for its end if that comes within 5 s. The answer is its ref_id.
func (w *world) call(name, args string) refcache.Ref {
	w.Helper()
	f := config.Func{Name: name, Retry: refcache.RetryPolicy{MaxRetries: refcache.NoRetries}}
	for _, d := range declared {
		if d.Name == name {
			f = d
		}
	}
	res, _ := producer.Call(w.Context(), w.p, f, raw(args)) // fail fails
	require.NotEmpty(w, res.RefID)
	return res.RefID
}

// countCommands counts what is sent to Redis from now on.
func (w *world) countCommands() *atomic.Int64 {
	var n atomic.Int64
	w.Server.SetFaults(func([]string) memredis.Fault {
		n.Add(1)
		return memredis.Pass
	})
	return &n
}

// answer is a page that came back.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (w *world) get(path string, header ...string) answer {
	w.Helper()
	return w.ask(httptest.NewRequestWithContext(w.Context(), "GET", "http://localhost"+path, nil), header...)
}

// post sends a form, as a browser does from a page of ours.
func (w *world) post(path string, form url.Values, header ...string) answer {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), "POST", "http://localhost"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.ask(r, header...)
}

func (w *world) ask(r *http.Request, header ...string) answer {
	r.RemoteAddr = "192.0.2.7:5555"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	out := httptest.NewRecorder()
	w.pages.ServeHTTP(out, r)
	return answer{out.Code, out.Header(), out.Body.String()}
}

// golden checks a page against testdata/golden/NAME.html, in which what differs from run to run is replaced.
func (w *world) golden(name string, a answer) {
	w.Helper()
	file := filepath.Join("testdata", "golden", name+".html")
	got := steady(a.body)
	if *update {
		require.NoError(w, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(w, err, "write it by go test ./internal/web/ui -update")
	if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		w.Fatalf("%s: if this is meant: go test ./internal/web/ui -update\n%s", file, diff)
	}
}

var varies = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\?v=[0-9a-f]{16}`), "?v=HASH"},
	{regexp.MustCompile(`(T\d\d:\d\d:\d\d)\.\d{3}Z`), "${1}.000Z"}, // some ms pass or not, as goroutines come to run
	{regexp.MustCompile(`id="worker-[^"]+-\d+-[0-9a-z]{6}"`), `id="worker-ID"`},
	{regexp.MustCompile(`pid \d+`), "pid 1"},
	{regexp.MustCompile(`<p class="by">[^<@]+-\d+-[0-9a-z]{6}\b`), `<p class="by">WORKER`},
	{regexp.MustCompile(`declared by [^<@]+-\d+-[0-9a-z]{6}\b`), "declared by WORKER"},
	{regexp.MustCompile(`(id="worker-ID"><th scope="row">)[^ <]+`), "${1}HOST"},
}

func steady(body string) string {
	for _, v := range varies {
		body = v.pattern.ReplaceAllString(body, v.instead)
	}
	return body
}

// safeBuffer is a log that is written by many.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
