"""A receiver of signed notices, as a program of yours would be: what it cannot verify it refuses."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from interlock.runtime import Runtime

_WINDOW = 300
_SECOND = 1_000_000


class Receiver:
    """Listens on a free port of this machine. `notices` holds the bodies that were signed with `key`."""

    def __init__(self, key: str) -> None:
        self.notices: list[dict[str, Any]] = []
        self.refused = 0
        self._key = key.encode()
        self._known: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/interlock"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Keep a notice that is signed, fresh and new; return the HTTP status that says so."""
        stamp, delivery = headers.get("x-interlock-timestamp", ""), headers.get("x-interlock-delivery", "")
        signed = "v1=" + hmac.new(self._key, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        genuine = hmac.compare_digest(signed, headers.get("x-interlock-signature", ""))
        now = Runtime.real().clock.now() // _SECOND
        if not genuine or abs(now - int(stamp)) > _WINDOW:
            self.refused += 1
            return 401
        if delivery not in self._known:
            self._known.add(delivery)
            self.notices.append(json.loads(body))
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self.take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(take(headers, body))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the demonstration speaks for itself."""

        return Handler
