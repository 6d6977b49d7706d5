package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestACallBelongsToTheTraceOfItsRequest(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	inWorld(t, setup{traces: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))}, func(w *world) {
		const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		w.ask("POST", "/calls", `{"func":"absent","args":1,"wait":0}`, "Traceparent", parent, "Tracestate", "rojo=1")
		w.ask("POST", "/calls:batch", `{"func":"absent","args":2}`, "Traceparent", parent)
		w.ask("POST", "/calls", `{"func":"absent","args":3,"wait":0}`, "Traceparent", "00-none")
		spans := recorder.Ended()
		require.Len(w, spans, 3)
		for _, span := range spans[:2] {
			require.Equal(w, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
			require.Equal(w, "b7ad6b7169203331", span.Parent().SpanID().String())
		}
		require.Equal(w, "rojo=1", spans[0].SpanContext().TraceState().String())
		require.False(w, spans[2].Parent().IsValid(), "what cannot be read begins a trace of its own")
	})
}
