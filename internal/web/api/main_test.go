package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/redact"
	"github.com/refq/refq/internal/testkit"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/internal/web/api"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestMain(m *testing.M) {
	testkit.Main(complete{m})
}

// complete runs all tests, and then asks whether they have met all that the document says.
type complete struct{ *testing.M }

func (c complete) Run() int {
	code := c.M.Run()
	if some := flag.Lookup("test.run").Value.String() + flag.Lookup("test.skip").Value.String(); code != 0 || some != "" {
		return code
	}
	for _, answer := range documentedAnswers() {
		if _, ok := seen.Load(answer); !ok {
			fmt.Println("FAIL: the document tells of an answer that no test met:", answer)
			code = 1
		}
	}
	return code
}

// world is a server of the API behind its guard, in a bubble. A worker joins with work.
type world struct {
	*kit.World
	p      *producer.Producer
	reader *producer.Producer // of calls in all namespaces
	a      *admin.Admin
	log    *safeBuffer
	client *http.Client
	stop   func() error // ends the server
	held   chan struct{}
}

// setup is what a test wants to be different.
type setup struct {
	guard       access.Config
	redact      []string
	maxRequests int
	maxArgs     int
	traces      trace.TracerProvider
}

// declared are the functions of the server, with their queues: work knows how to run those of default.
var declared = map[string]string{"echo": "default", "fail": "default", "hold": "default", "steps": "default", "absent": "media"}

func inWorld(t *testing.T, s setup, test func(w *world)) {
	t.Helper()
	kit.In(t, func(k *kit.World) {
		w := &world{World: k, log: &safeBuffer{}, held: make(chan struct{})}
		w.p = k.NewProducer(producer.Config{MaxArgs: s.maxArgs, Traces: s.traces})
		w.reader = k.NewProducer(producer.Config{Namespace: refcache.AllNamespaces})
		w.a = k.NewAdmin(admin.Config{By: "server@host", Namespace: refcache.AllNamespaces})
		w.serve(s)
		test(w)
		require.NoError(t, w.stop())
	})
}

func (w *world) serve(s setup) {
	cfg := config.Config{Path: "config.yaml", MaxArgs: 1 << 20, Web: config.Web{MaxRequests: 100}}
	if s.maxRequests > 0 {
		cfg.Web.MaxRequests = s.maxRequests
	}
	if s.maxArgs > 0 {
		cfg.MaxArgs = s.maxArgs
	}
	for name, queue := range declared {
		cfg.Functions = append(cfg.Functions, config.Function{Func: config.Func{Name: name, Queue: queue}})
	}
	cfg.Functions = append(cfg.Functions, config.Function{Func: config.Func{Name: "capped", Retry: refcache.RetryPolicy{MaxDelay: time.Second}}},
		config.Function{Func: config.Func{Name: "quote", Fresh: time.Minute}},
		config.Function{Func: config.Func{Name: "gated", Gate: refcache.Gate{Name: "maps", Each: 1}, TurnFields: refcache.TurnFields{Key: []string{"/host"}}}},
		config.Function{Func: config.Func{Name: "tagged", Tags: func(json.RawMessage) []string { return []string{"user:7"} }}, Tags: []string{"user:{/user}"}},
		config.Function{Func: config.Func{Name: "spaced", Tags: func(json.RawMessage) []string { return []string{"a b"} }}, Tags: []string{"{/a}"}},
		config.Function{Func: config.Func{Name: "flaky", Tags: func(json.RawMessage) []string { return nil }}, Tags: []string{}},
		config.Function{Func: config.Func{Name: "page", KeyFields: []string{"/url"}, KeyConflict: refcache.KeyRefuse}})
	var err error
	cfg.Redact, err = redact.Parse(s.redact)
	require.NoError(w, err)
	log := slog.New(cfg.Redact.Handler(slog.NewTextHandler(w.log, nil)))
	s.guard.Logger = log
	p := pipes{make(chan net.Conn), make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, p, access.New(s.guard).Handler(api.New(w.p, w.reader, w.a, live.NewCalls(w.reader), cfg, log)), log)
	}()
	transport := &http.Transport{DialContext: p.dial}
	w.client = &http.Client{Transport: transport}
	stop := sync.OnceValue(func() error {
		cancel()
		defer transport.CloseIdleConnections()
		return <-done
	})
	w.stop = stop
	w.Cleanup(func() { _ = stop() }) // if the test has failed
}

// work runs a worker until the test ends.
func (w *world) work() {
	type raw = json.RawMessage
	handles := func(name string, f func(context.Context, raw) (raw, error)) func(*worker.Worker) {
		return kit.Handles(refcache.Func[raw, raw]{Name: name}, f)
	}
	flaky := false // the world is a bubble: attempts of one call come one after the other
	w.Start(worker.Config{ShutdownTimeout: -1},
		handles("echo", func(_ context.Context, in raw) (raw, error) { return in, nil }),
		handles("tagged", func(_ context.Context, in raw) (raw, error) { return in, nil }),
		handles("flaky", func(_ context.Context, in raw) (raw, error) {
			if flaky {
				return nil, errors.New("down")
			}
			flaky = true
			return in, nil
		}),
		handles("quote", func(_ context.Context, in raw) (raw, error) { return in, nil }),
		handles("fail", func(_ context.Context, in raw) (raw, error) { return nil, errors.New("down: " + string(in)) }),
		handles("hold", func(ctx context.Context, in raw) (raw, error) {
			select {
			case <-w.held:
				return in, nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}),
		handles("steps", func(ctx context.Context, in raw) (raw, error) {
			for n := range 3 {
				worker.ReportProgress(ctx, int64(n+1), 3, "step")
				time.Sleep(2 * time.Second)
			}
			return in, nil
		}))
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request to a path below /api/v1.
func (w *world) ask(method, path, body string, header ...string) answer {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, "http://localhost"+api.Base+path, strings.NewReader(body))
	require.NoError(w, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	res, err := w.client.Do(r)
	require.NoError(w, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(w, err)
	a := answer{res.StatusCode, res.Header, string(text)}
	checkDocumented(w.T, method, path, a)
	return a
}

// fields are the answer's, as JSON has them.
func (a answer) fields(t require.TestingT) map[string]any {
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &fields), a.body)
	return fields
}

func (a answer) ref(t require.TestingT) string {
	var res struct {
		Ref string `json:"ref_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &res), a.body)
	require.NotEmpty(t, res.Ref, a.body)
	return res.Ref
}

// problem checks that the answer is a problem of a type, and returns its detail.
func (a answer) problem(t require.TestingT, code int, name string) string {
	require.Equal(t, code, a.code, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	fields := a.fields(t)
	require.Equal(t, "urn:refq:problem:"+name, fields["type"])
	require.EqualValues(t, code, fields["status"])
	return fields["detail"].(string)
}

// ended makes a call and waits for its end.
func (w *world) ended(body string) answer {
	w.Helper()
	a := w.ask("POST", "/calls", body)
	require.Equal(w, http.StatusOK, a.code, a.body)
	return a
}

// pending makes a call that no worker takes.
func (w *world) pending() string {
	w.Helper()
	return w.ask("POST", "/calls", `{"func":"absent","wait":0}`).ref(w)
}

// pipes is a listener without a port, so that time is a bubble's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
