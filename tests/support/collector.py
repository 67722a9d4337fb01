"""A collector of spans on loopback, as operators run one: OTLP over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(slots=True)
class Collector:
    """What has been collected so far."""

    url: str = ""
    resource: dict[str, Any] = field(default_factory=dict[str, Any])
    spans: list[Span] = field(default_factory=list[Span])
    raw: bytes = b""

    def take(self, body: bytes) -> None:
        """Keep what one request brought."""
        self.raw += body
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = {each.key: plain(each.value) for each in group.resource.attributes}
            for scope in group.scope_spans:
                self.spans.extend(scope.spans)


def plain(value: AnyValue) -> Any:
    """Return what an attribute's value is in Python."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def attributes(span: Span) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {each.key: plain(each.value) for each in span.attributes}


@contextmanager
def a_collector() -> Generator[Collector]:
    """Yield a collector that listens until the end."""
    collected = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            packed = self.headers.get("content-encoding") == "gzip"
            collected.take(gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
