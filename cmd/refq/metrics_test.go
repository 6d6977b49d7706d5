//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
)

// logged reads a JSON log up to a message, and returns the line's keys.
func logged(t *testing.T, lines *bufio.Scanner, message string) map[string]any {
	t.Helper()
	for lines.Scan() {
		var line map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		if line["msg"] == message {
			return line
		}
	}
	require.Fail(t, "missing in the log: "+message)
	panic("unreachable")
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

func TestAWorkerServesItsMetricsWhereItIsTold(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	dir := writeConfig(t, "log_format: json\nfunctions: {echo: {exec: [cat]}}")
	worker := refqIn(t, dir, server.Addr(), "worker", "--metrics", "127.0.0.1:0")
	stderr, err := worker.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, worker.Start())
	log := bufio.NewScanner(stderr)
	url := logged(t, log, "metrics are served")["url"].(string)
	require.Equal(t, exitDone, exitCode(t, refqIn(t, dir, server.Addr(), "call", "echo").Run()))

	code, text := fetch(t, url)
	require.Equal(t, 200, code)
	require.Contains(t, text, `refq_calls_finished_total{func="echo",queue="default",status="complete"} 1`)
	require.Contains(t, text, "refq_worker_up 1\n")
	require.Contains(t, text, `version="`+thisVersion().Version+`"`)
	for _, probe := range []string{"/healthz", "/readyz"} {
		code, text := fetch(t, strings.TrimSuffix(url, "/metrics")+probe)
		require.Equal(t, 200, code)
		require.Equal(t, "ok\n", text)
	}

	again := refqIn(t, dir, server.Addr(), "worker", "--metrics", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics"))
	said, err := again.CombinedOutput()
	require.Equal(t, exitUsage, exitCode(t, err))
	require.Contains(t, string(said), "(from --metrics), which cannot be listened on: ")
	require.Contains(t, string(said), "port 0 for a free one")

	require.NoError(t, worker.Process.Signal(os.Interrupt))
	logged(t, log, "worker stopped")
	require.Equal(t, exitDone, exitCode(t, worker.Wait()))
	_, err = net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics"))
	require.Error(t, err, "nothing stays")
}

// sink is what traces are sent to.
type sink struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlp.Span
	names []string // of the services
}

func newSink(t *testing.T) *sink {
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
			http.Error(w, "no traces", http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, resource := range sent.ResourceSpans {
			for _, a := range resource.Resource.Attributes {
				if a.Key == "service.name" {
					s.names = append(s.names, a.Value.GetStringValue())
				}
			}
			for _, scope := range resource.ScopeSpans {
				s.spans = append(s.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestTracesGoWhereTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	dir := writeConfig(t, "log_format: json\nlog_level: debug\nfunctions: {echo: {exec: [cat]}}")
	to := newSink(t)
	endpoint := "OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL

	worker := refqIn(t, dir, server.Addr(), "worker")
	worker.Env = append(worker.Env, endpoint, "OTEL_SERVICE_NAME=thumbs")
	stderr, err := worker.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, worker.Start())
	log := bufio.NewScanner(stderr)
	logged(t, log, "worker started")
	call := refqIn(t, dir, server.Addr(), "call", "echo", `{"secret":"argument"}`)
	call.Env = append(call.Env, endpoint)
	require.Equal(t, exitDone, exitCode(t, call.Run()))
	line := logged(t, log, "attempt ended")
	require.NoError(t, worker.Process.Signal(os.Interrupt))
	logged(t, log, "worker stopped")
	require.Equal(t, exitDone, exitCode(t, worker.Wait()))

	to.mu.Lock()
	defer to.mu.Unlock()
	require.Len(t, to.spans, 2)
	made, ran := to.spans[0], to.spans[1]
	if made.Kind != otlp.Span_SPAN_KIND_PRODUCER {
		made, ran = ran, made
	}
	require.Equal(t, "submit echo", made.Name)
	require.Equal(t, "attempt echo", ran.Name)
	require.Equal(t, made.TraceId, ran.TraceId)
	require.Equal(t, made.SpanId, ran.ParentSpanId)
	require.ElementsMatch(t, []string{"refq", "thumbs"}, to.names)
	require.NotContains(t, made.String()+ran.String(), "secret")
	require.Equal(t, "echo", line["func"])
	require.Len(t, line["trace_id"], 32)
	require.EqualValues(t, 1, line["attempt"])
	require.Contains(t, line["ref_id"], "default:")
}

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	dir := writeConfig(t, "functions: {echo: {}}")
	to := newSink(t)
	for _, env := range [][]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL, "OTEL_TRACES_EXPORTER=none"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL, "OTEL_SDK_DISABLED=true"},
	} {
		call := refqIn(t, dir, server.Addr(), "call", "echo", "--wait", "0")
		call.Env = append(call.Env, env...)
		require.Equal(t, exitInFlight, exitCode(t, call.Run()))
	}
	require.Empty(t, to.spans)
	require.NotContains(t, server.Dump(), "trace")

	call := refqIn(t, dir, server.Addr(), "call", "echo", "7", "--wait", "0")
	call.Env = append(call.Env, "OTEL_TRACES_EXPORTER=console")
	said, err := call.CombinedOutput()
	require.Equal(t, exitInFlight, exitCode(t, err))
	require.Contains(t, string(said), `"Name":"submit echo"`)
	require.Contains(t, server.Dump(), "trace")

	for variable, complaint := range map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin":          `refq: OTEL_TRACES_EXPORTER is "zipkin", must be otlp, console or none`,
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/xml": `refq: OTEL_EXPORTER_OTLP_PROTOCOL is "http/xml", must be http/protobuf or grpc`,
	} {
		call := refqIn(t, dir, server.Addr(), "call", "echo")
		call.Env = append(call.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL, variable)
		said, err := call.CombinedOutput()
		require.Equal(t, exitUsage, exitCode(t, err))
		require.Contains(t, string(said), complaint)
	}
}

// A collector that is away costs a command 2 s and a line in the log, nothing else.
func TestACollectorThatIsAwayBreaksNothing(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	nobody, err := freeAddr()
	require.NoError(t, err)
	dir := writeConfig(t, "functions: {echo: {}}")
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		call := refqIn(t, dir, server.Addr(), "call", "echo", "--wait", "0")
		call.Env = append(call.Env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+nobody, "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol)
		said, err := call.CombinedOutput()
		require.Equal(t, exitInFlight, exitCode(t, err), string(said))
		require.Contains(t, string(said), "traces are not sent")
	}
}
