package tracing_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/refq/refq/internal/tracing"
)

const ref = "default:00112233445566778899aabbccddeeff"

func TestWithoutAProviderTracingCostsNothing(t *testing.T) {
	ctx, failed := t.Context(), errors.New("no")
	off := tracing.New(nil)
	allocations := testing.AllocsPerRun(1000, func() {
		inner, span := off.Submit(ctx, ref, "thumb")
		if span.Link() != "" || inner != ctx {
			panic("it is traced")
		}
		span.End("miss", nil)
		_, span = off.Attempt(ctx, "", ref, "thumb", 1)
		if span.TraceID() != "" {
			panic("it is traced")
		}
		span.End("error", failed)
	})
	require.Zero(t, int(allocations))
}

// What a link holds may be of a newer version, or damaged: an attempt is not to fail of it.
func TestALinkThatCannotBeReadIsNone(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	on := tracing.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)))
	for _, link := range []string{"", " ", "x", "00-1-2-3", "00-00000000000000000000000000000000-0000000000000000-00 a=b"} {
		_, span := on.Attempt(t.Context(), link, ref, "thumb", 1)
		span.End("complete", nil)
		require.NotEmpty(t, span.TraceID())
	}
	for _, s := range recorder.Ended() {
		require.False(t, s.Parent().IsValid())
	}
}
