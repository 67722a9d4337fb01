"""Spans on their way to a collector, by OTLP over HTTP (C3).

The OpenTelemetry SDK does it, told by its own variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin): spans
wait in a bounded queue and leave in batches on a thread of their own. What finds no room is dropped; the
ledger has every call. Needs the extra `telemetry`; importing this module loads the SDK.
"""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from interlock.upstream.span import Span

LONGEST = 256
"""Letters of an attribute that are kept: a provider chooses some of them."""

_PATIENCE = 3.0
"""Seconds that one attempt to reach the collector may take: ending a process waits for the last."""


class SpanExport:
    """Where the spans of one process go. Whether a call is traced is never the caller's choice."""

    def __init__(self, *, environment: str, version: str) -> None:
        ours = Resource(
            {
                "service.name": "interlock",
                "service.version": version,
                "deployment.environment.name": environment,
            }
        )
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=ours.merge(OTELResourceDetector().detect()),
            span_limits=SpanLimits(max_attribute_length=LONGEST),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_PATIENCE)))
        self._tracer = self._provider.get_tracer("interlock", version)
        self._propagator = TraceContextTextMapPropagator()

    def __call__(self, span: Span) -> None:
        """Hand over a span; returns at once."""
        context = self._propagator.extract({"traceparent": span.parent}) if span.parent else None
        told = self._tracer.start_span(
            span.name[:LONGEST],
            context=context,
            kind=SpanKind.CLIENT,
            attributes=span.attributes,
            start_time=span.started_at * 1_000,
        )
        if span.error:
            told.set_status(Status(StatusCode.ERROR, span.error))
        told.end(end_time=span.ended_at * 1_000)

    def close(self) -> None:
        """Send what waits, and end the thread. Blocks."""
        self._provider.shutdown()
