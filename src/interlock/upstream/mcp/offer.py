"""What one tool server offers, as it last said: its lists, and what follows from its tools' definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import jsonschema_rs
from mcp.shared.inbound import x_mcp_header_map

from interlock.core.model import Json
from interlock.upstream.mcp.connection import Connection

LIST_TTL = 60.0
"""Seconds after which a list is asked for again, whether or not the server told of a change."""
_PAGES = 50
_BACKTRACK = 100_000
_LIST_TIMEOUT = 30.0
_CHANGES = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
}

Check = Callable[[object], bool]


@dataclass(slots=True, kw_only=True)
class Listing:
    """What a server last said it offers of one kind. `at` is the time on the monotonic clock, in seconds."""

    items: list[dict[str, Json]]
    at: float


@dataclass(slots=True)
class Offer:
    """The lists of one server by kind: `tools`, `prompts`, `resources` and `resourceTemplates`.

    `results` says of a tool whether a structured result fits its schema; `headers` which arguments of a tool
    a modern server wants mirrored in HTTP headers.
    """

    listings: dict[str, Listing] = field(default_factory=dict[str, Listing])
    results: Mapping[str, Check] = field(default_factory=dict[str, Check])
    headers: dict[str, dict[tuple[str, ...], str]] = field(
        default_factory=dict[str, dict[tuple[str, ...], str]]
    )

    def learn(self, tools: list[dict[str, Json]], now: float) -> None:
        """Put a new list of tools in place of the last one."""
        self.results = _result_checks(tools)
        self.headers.clear()
        self.headers.update(
            (str(each.get("name")), x_mcp_header_map(each.get("inputSchema"))) for each in tools
        )
        self.listings["tools"] = Listing(items=tools, at=now)

    def definition(self, tool: str) -> dict[str, Json] | None:
        """Return what the server last said `tool` is."""
        listing = self.listings.get("tools")
        return next((each for each in listing.items if each.get("name") == tool), None) if listing else None

    def known(self, kind: str, now: float) -> list[dict[str, Json]] | None:
        """Return a list that need not be asked for again. That of the tools is kept fresh by its keeper."""
        known = self.listings.get(kind)
        if known is None or (kind != "tools" and now - known.at >= LIST_TTL):
            return None
        return known.items

    def outdated(self, method: str) -> bool:
        """Forget the list that a notification says has changed; whether it is that of the tools.

        The tools last listed stand until they are listed anew.
        """
        kind = _CHANGES.get(method)
        if kind == "resources":
            self.listings.pop("resourceTemplates", None)
        if kind is not None and kind != "tools":
            self.listings.pop(kind, None)
        return kind == "tools"


async def list_all(connection: Connection, kind: str) -> list[dict[str, Json]]:
    """Walk the pages of one list; one that never ends is cut off. Raises as `Connection.request` does."""
    if not _offers(connection, kind):
        return []
    method = "resources/templates/list" if kind == "resourceTemplates" else f"{kind}/list"
    items: list[dict[str, Json]] = []
    params: dict[str, Json] = {}
    for _ in range(_PAGES):
        page = await connection.request(method, params, timeout=_LIST_TIMEOUT)
        items += page.get(kind) or []
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str) or cursor == params.get("cursor"):
            break
        params = {"cursor": cursor}
    return items


def _offers(connection: Connection, kind: str) -> bool:
    offered = connection.capabilities
    match kind:
        case "tools":
            return offered.tools is not None
        case "prompts":
            return offered.prompts is not None
        case _:
            return offered.resources is not None


def _result_checks(tools: list[dict[str, Json]]) -> dict[str, Check]:
    """Compile the result schemas that can be compiled; nothing is fetched, no pattern backtracks for long."""
    checks: dict[str, Check] = {}
    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK)
    for tool in tools:
        schema = tool.get("outputSchema")
        if not isinstance(schema, dict):
            continue
        with suppress(ValueError, TypeError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
            validator = jsonschema_rs.validator_for(
                cast("dict[str, Any]", schema), retriever=_no_remote, pattern_options=options
            )
            checks[str(tool.get("name"))] = validator.is_valid
    return checks


def _no_remote(uri: str) -> Json:
    raise ValueError(f"a schema may not refer to {uri[:200]}")
