"""The way to a tool server as its document declares it, with credentials that are looked up when it opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from interlock.core.document.tool import ToolServer
from interlock.errors import UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.upstream.mcp.http import open_http
from interlock.upstream.mcp.stdio import open_process

Transport = Callable[[Callable[[str], None]], AbstractAsyncContextManager[tuple[Any, Any]]]
"""Opens the streams to read from and to write to; is handed what is told why they ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a keeper is given by its process: nothing here is read from the environment by itself.

    `secret` resolves a `secret://env/NAME` reference or raises `UpstreamUnavailable`; `refusal` says why a
    server's credentials may not be used now, if so; `limit` caps one message in bytes.
    """

    runtime: Runtime
    secret: Callable[[str], str]
    refusal: Callable[[ToolServer], str | None]
    environment: Mapping[str, str]
    limit: int


def transport_to(document: ToolServer, around: Surroundings) -> Transport:
    """Return the transport of a declared server. Opening it raises `UpstreamUnavailable` where it may not."""

    def open_(ended: Callable[[str], None]) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        if (refusal := around.refusal(document)) is not None:
            raise UpstreamUnavailable(refusal)
        credentials = document.credentials
        if document.transport == "stdio":
            environment = {**around.environment, **_resolved(credentials.env, around.secret)}
            return open_process(document.command, environment=environment, limit=around.limit, ended=ended)
        headers = _resolved(credentials.headers, around.secret)
        return open_http(document.url or "", headers=headers, limit=around.limit)

    return open_


def _resolved(values: Mapping[str, str], secret: Callable[[str], str]) -> dict[str, str]:
    return {name: secret(value) if value.startswith("secret://") else value for name, value in values.items()}
