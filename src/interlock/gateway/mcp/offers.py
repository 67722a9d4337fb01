"""What a run is offered beside tools: what its workflow names, from the servers that its tools come from.

Names may clash between servers. A prompt then reads `server__name` and a resource `server+uri`; what is
unique keeps its name. What is out of scope looks exactly like what does not exist.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.admission import decide_capability
from interlock.core.model import Capability, Decision, Json, Principal
from interlock.errors import InterlockError, StoreUnavailable
from interlock.gateway.mcp.caller import Context, principal_of
from interlock.gateway.mcp.calls import ToolCalls, page
from interlock.gateway.mcp.catalog import Catalog
from interlock.gateway.mcp.names import split
from interlock.store.journal import JournalEntry
from interlock.upstream.mcp.ending import ServerError
from interlock.wiring import Wired

_TIMEOUT = 30.0
_KEYS = {"resources": "uri", "resourceTemplates": "uriTemplate", "prompts": "name"}
_MARKS = {"resources": "+", "resourceTemplates": "+", "prompts": "__"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One resource, template or prompt as a run sees it. `own` is its server's name for it."""

    server: str
    own: str
    shown: str
    definition: dict[str, Json]


class Offers:
    """Finds, decides, records and asks for what is not a tool."""

    def __init__(self, wired: Wired, catalog: Catalog, calls: ToolCalls) -> None:
        self._wired = wired
        self._catalog = catalog
        self._calls = calls

    def servers_of(self, principal: Principal) -> list[str]:
        """Return the servers a workflow may use: those of its tools, or all if it names no tool."""
        workflow, bundle = self._catalog.workflow(principal), self._wired.memory.bundle
        if workflow is None or bundle is None:
            return []
        granted = dict.fromkeys(split(tool)[0] for tool in workflow.grants)
        return [name for name in granted or bundle.servers if name in bundle.servers]

    async def listed(
        self, ctx: Context, kind: str, params: types.PaginatedRequestParams | None
    ) -> dict[str, Json]:
        """Answer a list of `kind`: `resources`, `resourceTemplates` or `prompts`."""
        offers = await self.of(principal_of(ctx), kind)
        items = [{**each.definition, _KEYS[kind]: each.shown} for each in offers]
        return page(items, kind, params.cursor if params else None)

    async def of(self, principal: Principal, kind: str) -> list[Offer]:
        """Return what is in scope, under names that do not clash. A server that cannot say is left out."""
        found: list[tuple[str, dict[str, Json]]] = []
        for server in self.servers_of(principal):
            try:
                items = await self._wired.servers.wake().listing(server, kind)
            except InterlockError:
                continue
            found += [(server, each) for each in items if self._permitted(principal, server, kind, each)]
        return list(_named(found, kind))

    def _permitted(self, principal: Principal, server: str, kind: str, item: dict[str, Json]) -> bool:
        name = str(item.get(_KEYS[kind]))
        capability = Capability.PROMPT if kind == "prompts" else Capability.RESOURCE
        return not self.decide(principal, capability, name).denied or (
            kind == "prompts" and not self.decide(principal, capability, f"{server}.{name}").denied
        )

    async def find(self, principal: Principal, kind: str, shown: str) -> Offer | None:
        """Return what a run knows by the name `shown`, or None."""
        offers = await self.of(principal, kind)
        return next((each for each in offers if each.shown == shown), None)

    async def send(self, ctx: Context, server: str, method: str, params: dict[str, Json]) -> dict[str, Json]:
        """Ask a server in the name of a run, and return its result. Raises `MCPError`."""
        try:
            result = await self._wired.servers.wake().request(
                server,
                principal_of(ctx).run,
                method,
                params,
                bridge=self._calls.caller(ctx),
                timeout=_TIMEOUT,
            )
        except InterlockError as error:
            raise passed(error) from error
        meta = result.get("_meta")
        if isinstance(meta, dict):
            cast("dict[str, Json]", meta).pop(types.SERVER_INFO_META_KEY, None)
        return {"resultType": "complete", **result}

    def decide(self, principal: Principal, capability: Capability, name: str) -> Decision:
        """Decide whether a run may use `capability` on `name`, as things stand now."""
        snapshot = self._wired.memory.snapshot(principal, "")
        return decide_capability(principal, capability, name, snapshot, self._wired.runtime.clock.now())

    async def record(self, principal: Principal, asked: Capability, name: str, server: str | None) -> None:
        """Put on record that something beside tools is used at `server`, or is refused (A6).

        Raises `MCPError` when a use cannot be recorded: it must not happen then.
        """
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
        entry = JournalEntry(
            at=self._wired.runtime.clock.now(),
            kind=f"{asked.value}.{'refused' if server is None else 'used'}",
            body={"name_sha256": digest, "server": server or ""},
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
        )
        if server is None:
            return self._wired.store.note(entry)
        try:
            await self._wired.store.journal(entry)
        except StoreUnavailable as error:
            said = f"Denied by Interlock: this cannot be recorded now. Nothing was sent. {error}"
            raise MCPError(types.INTERNAL_ERROR, said) from error


def continued(ctx: Context, sent: dict[str, Json]) -> dict[str, Json]:
    """Carry the answers of a request that continues on to the server that asked, unjudged."""
    said = ctx.params or {}
    return {**sent, **{key: said[key] for key in ("inputResponses", "requestState") if key in said}}


def passed(error: InterlockError) -> MCPError:
    """Return the server's own error where it is one, else ours."""
    if isinstance(error, ServerError):
        return error.error
    return MCPError(types.INTERNAL_ERROR, error.message)


def _named(found: Iterable[tuple[str, dict[str, Json]]], kind: str) -> Iterable[Offer]:
    items = list(found)
    key, mark = _KEYS[kind], _MARKS[kind]
    times = Counter(str(each.get(key)) for _, each in items)
    for server, each in items:
        own = str(each.get(key))
        shown = own if times[own] == 1 else f"{server}{mark}{own}"
        yield Offer(server=server, own=own, shown=shown, definition=each)
