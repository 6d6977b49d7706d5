// Package otlp sends traces where the environment says, by the variables that OpenTelemetry's SDKs know. It is for
// programs: libraries are given a provider.
package otlp

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Traces are on their way to whoever collects them. The zero Traces are off.
type Traces struct {
	provider *sdk.TracerProvider
}

// Program is what sends traces.
type Program struct {
	Name, Version string // the resource's service.name, unless OTEL_SERVICE_NAME is set, and service.version
	Log           *slog.Logger
	Stderr        io.Writer // where the exporter "console" writes
}

// Start returns Traces as the environment asks for them: on if OTEL_TRACES_EXPORTER is otlp or console, or it is not set
// and OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is; off if OTEL_SDK_DISABLED is true. The
// protocol is OTEL_EXPORTER_OTLP_PROTOCOL, http/protobuf or grpc. Where to, how often and which of them: the SDK reads all
// that from the process's own environment. An error names the variable. It does not dial; what cannot be sent is logged.
func Start(ctx context.Context, env func(string) (string, bool), p Program) (Traces, error) {
	get := func(names ...string) string {
		for _, name := range names {
			if value, _ := env(name); value != "" {
				return value
			}
		}
		return ""
	}
	exporter := get("OTEL_TRACES_EXPORTER")
	if exporter == "" && get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		exporter = "otlp"
	}
	if exporter == "" || exporter == "none" || get("OTEL_SDK_DISABLED") == "true" {
		return Traces{}, nil
	}
	out, err := newExporter(ctx, exporter, get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"), p.Stderr)
	if err != nil {
		return Traces{}, err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", p.Name), attribute.String("service.version", p.Version)), resource.WithFromEnv())
	if err != nil {
		return Traces{}, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { p.Log.Warn("traces are not sent", "err", err) }))
	return Traces{sdk.NewTracerProvider(sdk.WithBatcher(out), sdk.WithResource(about))}, nil
}

func newExporter(ctx context.Context, name, protocol string, stderr io.Writer) (sdk.SpanExporter, error) {
	switch name {
	case "console":
		return stdouttrace.New(stdouttrace.WithWriter(stderr))
	case "otlp":
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q, must be otlp, console or none", name)
	}
	switch cmp.Or(protocol, "http/protobuf") {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q, must be http/protobuf or grpc", protocol)
}

// Provider returns what producers and workers are given; nil when traces are off.
func (t Traces) Provider() trace.TracerProvider {
	if t.provider == nil {
		return nil
	}
	return t.provider
}

// endTimeout bounds how long a collector that does not answer holds up the end of the program.
const endTimeout = 2 * time.Second

// End sends what was not sent yet, for at most 2 s.
func (t Traces) End() {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout) // the program's own has ended
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(fmt.Errorf("send the last traces: %w", err))
	}
}
