"""Connections to PostgreSQL that can be cut when it matters most: `proxied` gives them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from support.stores import PostgresForTests


class Proxy:
    """A TCP proxy in front of PostgreSQL's socket that can cut connections, at once or at the next COMMIT.

    `of` tells whose: that of a connection which has sent these bytes before.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut_at_commit: str = ""
        self.of = b""
        self._deaf: socket.socket | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            self._pairs.append((near, far))
            threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, outgoing: bool) -> None:
        sent = b""
        try:
            while data := source.recv(65536):
                sent = self.of if self.of in data else sent
                if outgoing and sent == self.of and self.cut_at_commit and b"COMMIT" in data:
                    when, self.cut_at_commit = self.cut_at_commit, ""
                    if when == "before":
                        break
                    self._deaf = target
                elif not outgoing and self._deaf is source:  # the server has committed; nobody hears of it
                    self._deaf = None
                    break
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        """Cut everything."""
        self._listener.close()
        for pair in self._pairs:
            for each in pair:
                each.close()


@pytest.fixture
def proxied(postgres_server: PostgresForTests, postgres_url: str) -> Iterator[tuple[Proxy, str]]:
    info = postgres_server.server.get_postmaster_info()
    proxy = Proxy(str(info.socket_path))
    name = sa.make_url(postgres_url).database
    yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
    proxy.close()
