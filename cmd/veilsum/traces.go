package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/veilsum/veilsum/cmd/internal/version"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/pipeline/gateway"
)

// otlpHelp describes --otlp.
const otlpHelp = "URL of an OpenTelemetry collector (OTLP over HTTP) for traces; default OTEL_EXPORTER_OTLP_ENDPOINT; neither: none"

// tracer sends spans; nil sends none. A span names a task and a round and how a step ended. It never has an
// error's text, a report or a pseudonym: those are about one vehicle, and leave the role's machine with the trace.
type tracer struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer
}

// newTracer starts the sending of a role's spans, if somebody wants them: to the URL, or as the OTEL_ environment
// says, which is otherwise obeyed, too. What cannot be sent is dropped and logged; it stops nothing.
func newTracer(ctx context.Context, endpoint, role string, log *slog.Logger) (*tracer, error) {
	fromEnv := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") + os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if endpoint+fromEnv == "" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	var options []otlptracehttp.Option
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return nil, &usageError{Err: fmt.Errorf("--otlp: want http://HOST:PORT or https://HOST:PORT"), Hint: "passwords and headers belong in OTEL_EXPORTER_OTLP_HEADERS"}
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/traces"
		}
		options = append(options, otlptracehttp.WithEndpointURL(u.String()))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces", "error", err) }))
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.namespace", "veilsum"), attribute.String("service.name", "veilsum-"+role),
		attribute.String("service.version", version.New("veilsum").Version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &tracer{p, p.Tracer("github.com/veilsum/veilsum")}, nil
}

// close sends what is left, for a few seconds at most.
func (t *tracer) close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// span records something that has ended.
func (t *tracer) span(name string, kind trace.SpanKind, start, end time.Time, n pipeline.RoundName, failed string, attrs ...attribute.KeyValue) {
	if n != (pipeline.RoundName{}) {
		attrs = append(attrs, attribute.String("veilsum.task", n.Task.String()), attribute.Int64("veilsum.epoch", int64(n.Epoch)), attribute.Int64("veilsum.lane", int64(n.Lane)))
	}
	_, s := t.spans.Start(context.Background(), name, trace.WithTimestamp(start), trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
	if failed != "" {
		s.SetStatus(codes.Error, failed)
	}
	s.End(trace.WithTimestamp(end))
}

// request records a request to the gateway; health checks are none.
func (t *tracer) request(o gateway.Observation) {
	if t == nil || o.Route == "health" || o.Route == "none" {
		return
	}
	attrs := []attribute.KeyValue{
		attribute.String("http.route", o.Route), attribute.Int("http.response.status_code", o.Status), attribute.Int64("http.request.body.size", o.Bytes),
	}
	failed := ""
	if o.Code != "" {
		attrs = append(attrs, attribute.String("veilsum.refusal", o.Code))
	}
	if o.Status >= 500 {
		failed = o.Code
	}
	end := time.Now()
	t.span("gateway "+o.Route, trace.SpanKindServer, end.Add(-o.Duration), end, o.Round, failed, attrs...)
}

// step records a decryptor's step.
func (t *tracer) step(s watch.Step) {
	if t == nil {
		return
	}
	outcome, failed, refused := stepOutcome(s.Err), "", 0
	if outcome == stepFailed {
		failed = outcome
	}
	for _, n := range s.Refused {
		refused += n
	}
	attrs := []attribute.KeyValue{attribute.String("veilsum.outcome", outcome)}
	if s.Action == watch.Check {
		attrs = append(attrs, attribute.Int("veilsum.refused_reports", refused))
	}
	t.span("decryptor "+string(s.Action), trace.SpanKindInternal, s.Start, s.Start.Add(s.Duration), s.Round, failed, attrs...)
}
