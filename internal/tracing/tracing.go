// Package tracing makes the spans of producers and workers. What it tells of a call is its ref_id, its function and how
// it went, never its arguments or result.
package tracing

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/refq/refq/refcache"
)

// Tracer makes spans. The zero Tracer makes none, which costs nothing.
type Tracer struct{ tracer trace.Tracer }

// New returns a Tracer for a provider, which may be nil.
func New(p trace.TracerProvider) Tracer {
	if p == nil {
		return Tracer{}
	}
	return Tracer{p.Tracer("github.com/refq/refq")}
}

// On reports whether there is anybody to make spans for.
func (t Tracer) On() bool { return t.tracer != nil }

// Submit starts the span of a call that is made, and returns a context with it.
func (t Tracer) Submit(ctx context.Context, ref refcache.Ref, function string) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, "submit "+function, trace.WithSpanKind(trace.SpanKindProducer), about(ref, function))
	return ctx, Span{span}
}

// Incoming returns a context under which [Tracer.Submit] starts a span below the one that a request says it belongs to, by the
// headers traceparent and tracestate of W3C Trace Context. What cannot be read counts for nothing.
func Incoming(ctx context.Context, h http.Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
}

// Attempt starts the span of an attempt, below the one that link is of, if any. The context returned is ctx with it.
func (t Tracer) Attempt(ctx context.Context, link string, ref refcache.Ref, function string, attempt int) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	parent, state, _ := strings.Cut(link, " ")
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent, "tracestate": state})
	ctx, span := t.tracer.Start(ctx, "attempt "+function, trace.WithSpanKind(trace.SpanKindConsumer),
		about(ref, function), trace.WithAttributes(attribute.Int("refq.attempt", attempt)))
	return ctx, Span{span}
}

func about(ref refcache.Ref, function string) trace.SpanStartEventOption {
	return trace.WithAttributes(attribute.String("refq.ref_id", string(ref)), attribute.String("refq.function", function),
		attribute.String("refq.queue", ref.Queue()))
}

// Span is a span that was started. The zero Span is none.
type Span struct{ span trace.Span }

// Link returns the span's place in its trace as text, for [Tracer.Attempt]: a traceparent, and behind a space the
// tracestate, if there is one. It is empty for no span.
func (s Span) Link() string {
	if s.span == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), s.span), carrier)
	return strings.TrimSpace(carrier["traceparent"] + " " + carrier["tracestate"])
}

// End ends the span: what it came to, in a word, and the error that it came to, if any.
func (s Span) End(result string, err error) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attribute.String("refq.result", result))
	if err != nil {
		s.span.RecordError(err)
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}

// TraceID returns the id of the trace, for the log; empty when there is none.
func (s Span) TraceID() string {
	if s.span == nil || !s.span.SpanContext().HasTraceID() {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}
