package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// traced is a producer with traces, and what it and workers have traced.
func (w *house) traced() (*producer.Producer, *sdk.TracerProvider, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	p := producer.New(w.Redis, producer.Config{Traces: provider})
	w.Cleanup(func() { require.NoError(w, p.Close()) })
	return p, provider, recorder
}

func attributes(s sdk.ReadOnlySpan) map[string]any {
	all := map[string]any{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

func TestAttemptsAreTracedBelowTheCallThatStartedThem(t *testing.T) {
	inHouse(t, func(w *house) {
		p, provider, recorder := w.traced()
		var inside []trace.SpanContext
		r := &runs{fn: func(ctx context.Context, attempt int) (string, error) {
			inside = append(inside, trace.SpanContextFromContext(ctx))
			return failing(1).fn(ctx, attempt)
		}}
		var book logbook
		w.Start(worker.Config{Traces: provider, Logger: book.debugLogger()}, world.Handles(work, r.run))
		ctx, above := provider.Tracer("test").Start(w.Context(), "request")
		ref, err := producer.Submit(ctx, p, work, "secret argument")
		require.NoError(w, err)
		_, err = producer.Submit(w.Context(), p, work, "secret argument")
		require.NoError(w, err)
		w.await(ref, refcache.Complete)
		time.Sleep(time.Second)

		spans := recorder.Ended()
		require.Len(w, spans, 4)
		with := func(result string) sdk.ReadOnlySpan {
			n := slices.IndexFunc(spans, func(s sdk.ReadOnlySpan) bool { return attributes(s)["refq.result"] == result })
			require.GreaterOrEqual(w, n, 0, "a span that came to %s", result)
			return spans[n]
		}
		made, joined, first, second := with("miss"), with("joined"), with("error"), with("complete")
		require.Equal(w, "submit work", made.Name())
		require.Equal(w, trace.SpanKindProducer, made.SpanKind())
		require.Equal(w, above.SpanContext().SpanID(), made.Parent().SpanID())
		require.Equal(w, map[string]any{"refq.ref_id": string(ref), "refq.function": "work", "refq.queue": "default", "refq.result": "miss"}, attributes(made))
		require.NotEqual(w, made.SpanContext().TraceID(), joined.SpanContext().TraceID())

		for n, attempt := range []sdk.ReadOnlySpan{first, second} {
			require.Equal(w, "attempt work", attempt.Name())
			require.Equal(w, trace.SpanKindConsumer, attempt.SpanKind())
			require.Equal(w, made.SpanContext().TraceID(), attempt.SpanContext().TraceID())
			require.Equal(w, made.SpanContext().SpanID(), attempt.Parent().SpanID())
			require.Equal(w, attempt.SpanContext().SpanID(), inside[n].SpanID(), "what the function does is below it")
			require.EqualValues(w, n+1, attributes(attempt)["refq.attempt"])
		}
		require.Equal(w, codes.Error, first.Status().Code)
		require.Len(w, first.Events(), 1)
		require.Contains(w, first.Events()[0].Attributes, attribute.String("exception.message", errDown.Error()))
		require.NotContains(w, fmt.Sprint(tracetest.SpanStubsFromReadOnlySpans(spans)), "secret", "never arguments")
		require.Equal(w, 2, book.count("trace_id="+made.SpanContext().TraceID().String()))
	})
}

// The task keeps the trace: who rings for it, and how often, does not matter.
func TestTheTraceOutlivesWorkers(t *testing.T) {
	inHouse(t, func(w *house) {
		p, provider, recorder := w.traced()
		first := w.Start(worker.Config{Traces: provider}, world.Handles(work, (&runs{fn: untilEnd}).run))
		ref, err := producer.Submit(w.Context(), p, work, "x")
		require.NoError(w, err)
		w.await(ref, refcache.Processing)
		synctest.Wait() // until the worker knows
		w.Start(worker.Config{Traces: provider}, world.Handles(work, failing(0).run))
		first.Leaves = true
		first.Unplug()
		w.await(ref, refcache.Complete)
		time.Sleep(time.Second)
		spans := recorder.Ended()
		require.Len(w, spans, 2, "the one that made the call and the one that completed it")
		require.Equal(w, spans[0].SpanContext().SpanID(), spans[1].Parent().SpanID())

		// A new life has a new trace, or none.
		_, err = producer.Submit(w.Context(), w.p, work, "x", producer.Refresh())
		require.NoError(w, err)
		w.await(ref, refcache.Complete)
		time.Sleep(time.Second)
		last := recorder.Ended()[2]
		require.False(w, last.Parent().IsValid())
		require.NotEqual(w, spans[0].SpanContext().TraceID(), last.SpanContext().TraceID())
	})
}

func TestTheTraceKeepsItsState(t *testing.T) {
	inHouse(t, func(w *house) {
		p, provider, recorder := w.traced()
		state, err := trace.ParseTraceState("vendor=some thing,other=1")
		require.NoError(w, err)
		ctx, _ := provider.Tracer("test").Start(w.Context(), "request")
		above := trace.SpanContextFromContext(ctx).WithTraceState(state)
		w.Start(worker.Config{Traces: provider}, world.Handles(work, failing(0).run))
		ref, err := producer.Submit(trace.ContextWithSpanContext(w.Context(), above), p, work, "x")
		require.NoError(w, err)
		w.await(ref, refcache.Complete)
		time.Sleep(time.Second)
		require.Equal(w, state.String(), recorder.Ended()[1].SpanContext().TraceState().String())
	})
}

func TestWithoutTracesNothingIsWrittenAboutThem(t *testing.T) {
	inHouse(t, func(w *house) {
		_, provider, recorder := w.traced()
		ctx, _ := provider.Tracer("test").Start(w.Context(), "request") // the caller's own affair
		ref, err := producer.Submit(ctx, w.p, work, "x")
		require.NoError(w, err)
		require.Contains(w, w.Server.Dump(), string(ref))
		require.NotContains(w, w.Server.Dump(), "trace")
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		w.await(ref, refcache.Complete)
		require.Empty(w, recorder.Ended())
	})
}

func TestACallThatCannotBeMadeIsAnErrorInItsTrace(t *testing.T) {
	inHouse(t, func(w *house) {
		_, provider, recorder := w.traced()
		var host world.Host
		host.Unplug()
		away := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0", Dialer: host.Dialer(nil), MaxRetries: -1})
		defer away.Close()
		p := producer.New(away, producer.Config{Traces: provider})
		defer p.Close()
		_, err := producer.Submit(w.Context(), p, work, "x")
		require.Error(w, err)
		span := recorder.Ended()[0]
		require.Equal(w, codes.Error, span.Status().Code)
		require.True(w, strings.Contains(span.Status().Description, "refused"), span.Status().Description)
	})
}
