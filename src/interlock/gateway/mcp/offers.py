"""Resources, prompts and completion: what a workflow names, from the servers its tools come from.

Names may clash between servers. A prompt then reads `server__name` and a resource `server+uri`; what is
unique keeps its name. What is out of scope looks exactly like what does not exist.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.admission import decide_capability
from interlock.core.model import SECOND, Capability, Decision, Json, Principal
from interlock.core.scope import wanders
from interlock.errors import InterlockError, StoreUnavailable
from interlock.gateway.mcp.caller import Context, principal_of, session_of
from interlock.gateway.mcp.calls import ToolCalls, page
from interlock.gateway.mcp.catalog import Catalog
from interlock.gateway.mcp.changes import Changes
from interlock.gateway.mcp.names import split
from interlock.gateway.mcp.templates import fits
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """A resource that a run follows: who asked last, and the server's own name for it."""

    principal: Principal
    server: str
    own: str


class Offers:
    """The methods of the gateway that are not about tools."""

    def __init__(self, wired: Wired, catalog: Catalog, calls: ToolCalls, changes: Changes) -> None:
        self._wired = wired
        self._catalog = catalog
        self._calls = calls
        self._changes = changes
        self._followed: dict[tuple[str, str], _Followed] = {}

    async def list_resources(self, ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
        """Answer `resources/list`."""
        return await self._list(ctx, "resources", params)

    async def list_templates(self, ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
        """Answer `resources/templates/list`."""
        return await self._list(ctx, "resourceTemplates", params)

    async def list_prompts(self, ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
        """Answer `prompts/list`."""
        return await self._list(ctx, "prompts", params)

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> Any:
        """Answer `resources/read`."""
        server, uri = await self._resource(ctx, params.uri)
        sent = _continued(ctx, {"uri": uri})
        result = await self._send(ctx, server, "resources/read", sent)
        if uri != params.uri:
            for each in cast("list[dict[str, Json]]", result.get("contents") or []):
                each["uri"] = f"{server}+{each.get('uri')}"
        return {"ttlMs": 0, **result, "cacheScope": "private"} if "contents" in result else result

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Answer `resources/subscribe`, which the legacy era has."""
        run, session = principal_of(ctx).run, session_of(ctx)
        if self._changes.follows(run, session, params.uri):
            return types.EmptyResult()
        if not self._changes.follow(run, session, params.uri):
            raise MCPError(types.INVALID_REQUEST, "This session follows too many resources.")
        try:
            await self.follow(ctx, params.uri)
        except MCPError:
            self._changes.unfollow(run, session, params.uri)
            raise
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """Answer `resources/unsubscribe`."""
        run = principal_of(ctx).run
        if self._changes.unfollow(run, session_of(ctx), params.uri):
            await self.leave(run, params.uri)
        return types.EmptyResult()

    async def follow(self, ctx: Context, uri: str) -> None:
        """Have the server of a resource in scope tell this run when it changes. Raises `MCPError`."""
        server, own = await self._resource(ctx, uri)
        principal = principal_of(ctx)
        try:
            await self._wired.servers.wake().subscribe(server, principal.run, own)
        except InterlockError as error:
            raise _passed(error) from error
        self._followed[principal.run, uri] = _Followed(principal=principal, server=server, own=own)

    async def leave(self, run: str, uri: str) -> None:
        """End one subscription of `run`, under the name it knows the resource by."""
        followed = self._followed.get((run, uri))
        if followed is not None:
            await self._wired.servers.wake().unsubscribe(followed.server, run, followed.own)

    def forget(self, run: str) -> None:
        """A run is over."""
        for known in [each for each in self._followed if each[0] == run]:
            del self._followed[known]

    def updated(self, server: str, run: str, own: str) -> list[str]:
        """Return the names under which `run` follows a resource that changed, while it may read it.

        The token that subscribed may have been renewed since; only its age does not count.
        """
        names: list[str] = []
        for (each, uri), known in self._followed.items():
            if (each, known.server, known.own) == (run, server, own):
                living = replace(known.principal, expires_at=self._wired.runtime.clock.now() + SECOND)
                in_use = server in self.servers_of(living)
                if in_use and not self._decide(living, Capability.RESOURCE, own).denied:
                    names.append(uri)
        return names

    async def get_prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> Any:
        """Answer `prompts/get`."""
        offer = await self._find(principal_of(ctx), "prompts", params.name)
        await self._record(principal_of(ctx), Capability.PROMPT, params.name, offer and offer.server)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name[:200]}")
        sent: dict[str, Json] = {"name": offer.own}
        if params.arguments is not None:
            sent["arguments"] = dict(params.arguments)
        return await self._send(ctx, offer.server, "prompts/get", _continued(ctx, sent))

    async def complete(self, ctx: Context, params: types.CompleteRequestParams) -> Any:
        """Answer `completion/complete` for a prompt or a template in scope."""
        principal = principal_of(ctx)
        decision = self._decide(principal, Capability.COMPLETION, "")
        if decision.denied:
            await self._record(principal, Capability.COMPLETION, "", None)
            raise MCPError(types.INVALID_PARAMS, decision.reason.message)
        sent = {
            key: value for key, value in (ctx.params or {}).items() if key in ("ref", "argument", "context")
        }
        if isinstance(params.ref, types.PromptReference):
            key, name = "name", params.ref.name
            offer = await self._find(principal, "prompts", name)
        else:
            key, name = "uri", params.ref.uri
            offer = await self._find(principal, "resourceTemplates", name)
            offer = offer or await self._find(principal, "resources", name)
        await self._record(principal, Capability.COMPLETION, name, offer and offer.server)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, "There is no such prompt or resource template in scope.")
        sent["ref"] = {**sent["ref"], key: offer.own}
        return await self._send(ctx, offer.server, "completion/complete", sent)

    def servers_of(self, principal: Principal) -> list[str]:
        """Return the servers a workflow may use: those of its tools, or all if it names no tool."""
        workflow, bundle = self._catalog.workflow(principal), self._wired.memory.bundle
        if workflow is None or bundle is None:
            return []
        granted = dict.fromkeys(split(tool)[0] for tool in workflow.grants)
        return [name for name in granted or bundle.servers if name in bundle.servers]

    async def _list(
        self, ctx: Context, kind: str, params: types.PaginatedRequestParams | None
    ) -> dict[str, Json]:
        offers = await self._offers(principal_of(ctx), kind)
        items = [{**each.definition, _KEYS[kind]: each.shown} for each in offers]
        return page(items, kind, params.cursor if params else None)

    async def _offers(self, principal: Principal, kind: str) -> list[Offer]:
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
        return not self._decide(principal, capability, name).denied or (
            kind == "prompts" and not self._decide(principal, capability, f"{server}.{name}").denied
        )

    async def _find(self, principal: Principal, kind: str, shown: str) -> Offer | None:
        offers = await self._offers(principal, kind)
        return next((each for each in offers if each.shown == shown), None)

    async def _resource(self, ctx: Context, uri: str) -> tuple[str, str]:
        """Return the server and its own URI of a resource in scope. Raises `MCPError` if there is none."""
        principal = principal_of(ctx)
        found = await self._located(principal, uri)
        await self._record(principal, Capability.RESOURCE, uri, found and found[0])
        if found is None:
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
        return found

    async def _located(self, principal: Principal, uri: str) -> tuple[str, str] | None:
        if (listed := await self._find(principal, "resources", uri)) is not None:
            return listed.server, listed.own
        if wanders(uri):  # only what is listed and named exactly may be written like that
            return None
        templates = await self._offers(principal, "resourceTemplates")
        for template in templates:
            prefix = "" if template.shown == template.own else f"{template.server}+"
            if uri.startswith(prefix) and fits(uri[len(prefix) :], template.own):
                return template.server, uri[len(prefix) :]
        servers = self.servers_of(principal)
        if len(servers) == 1 and not self._decide(principal, Capability.RESOURCE, uri).denied:
            return servers[0], uri
        return None

    async def _send(self, ctx: Context, server: str, method: str, params: dict[str, Json]) -> dict[str, Json]:
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
            raise _passed(error) from error
        meta = result.get("_meta")
        if isinstance(meta, dict):
            cast("dict[str, Json]", meta).pop(types.SERVER_INFO_META_KEY, None)
        return {"resultType": "complete", **result}

    def _decide(self, principal: Principal, capability: Capability, name: str) -> Decision:
        snapshot = self._wired.memory.snapshot(principal, "")
        return decide_capability(principal, capability, name, snapshot, self._wired.runtime.clock.now())

    async def _record(self, principal: Principal, asked: Capability, name: str, server: str | None) -> None:
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


def _named(found: Iterable[tuple[str, dict[str, Json]]], kind: str) -> Iterable[Offer]:
    items = list(found)
    key, mark = _KEYS[kind], _MARKS[kind]
    times = Counter(str(each.get(key)) for _, each in items)
    for server, each in items:
        own = str(each.get(key))
        shown = own if times[own] == 1 else f"{server}{mark}{own}"
        yield Offer(server=server, own=own, shown=shown, definition=each)


def _continued(ctx: Context, sent: dict[str, Json]) -> dict[str, Json]:
    """Carry the answers of a request that continues on to the server that asked, unjudged."""
    said = ctx.params or {}
    return {**sent, **{key: said[key] for key in ("inputResponses", "requestState") if key in said}}


def _passed(error: InterlockError) -> MCPError:
    if isinstance(error, ServerError):
        return error.error
    return MCPError(types.INTERNAL_ERROR, error.message)
