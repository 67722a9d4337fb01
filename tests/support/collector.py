"""A collector of spans on loopback, as operators run one: OTLP over HTTP, in JSON."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(slots=True)
class Collector:
    """What has been collected so far. It answers with `statuses`, one after the other, then with 200."""

    url: str = ""
    resource: dict[str, Any] = field(default_factory=dict[str, Any])
    spans: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    statuses: list[int] = field(default_factory=list[int])
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    raw: bytes = b""

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Keep what one request brought, and return the status of the answer."""
        self.asked.append(headers)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.raw += body
            for group in json.loads(body)["resourceSpans"]:
                self.resource = plain(group["resource"]["attributes"])
                for scope in group["scopeSpans"]:
                    self.spans.extend(scope["spans"])
        return status

    @property
    def told(self) -> list[dict[str, Any]]:
        """The attributes of each span."""
        return [plain(span["attributes"]) for span in self.spans]


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return attributes as they are in Python."""
    return {each["key"]: _value(each["value"]) for each in attributes}


def _value(said: dict[str, Any]) -> Any:
    ((kind, value),) = said.items()
    if kind == "arrayValue":
        return [_value(each) for each in value["values"]]
    return int(value) if kind == "intValue" else value


@contextmanager
def a_collector(*statuses: int) -> Generator[Collector]:
    """Yield a collector that listens until the end."""
    collected = Collector(statuses=list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(collected.take({k.lower(): v for k, v in self.headers.items()}, body))
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
