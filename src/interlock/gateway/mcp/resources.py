"""Resources and their templates: listing, reading, and hearing of it when one changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.model import SECOND, Capability, Json, Principal
from interlock.core.scope import wanders
from interlock.errors import InterlockError
from interlock.gateway.mcp.caller import Context, principal_of, session_of
from interlock.gateway.mcp.changes import Changes
from interlock.gateway.mcp.offers import Offers, continued, passed
from interlock.gateway.mcp.templates import fits
from interlock.wiring import Wired


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """A resource that a run follows: who asked last, and the server's own name for it."""

    principal: Principal
    server: str
    own: str


class Resources:
    """The methods of the gateway about resources."""

    def __init__(self, wired: Wired, offers: Offers, changes: Changes) -> None:
        self._wired = wired
        self._offers = offers
        self._changes = changes
        self._followed: dict[tuple[str, str], _Followed] = {}

    async def list_resources(self, ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
        """Answer `resources/list`."""
        return await self._offers.listed(ctx, "resources", params)

    async def list_templates(self, ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
        """Answer `resources/templates/list`."""
        return await self._offers.listed(ctx, "resourceTemplates", params)

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> Any:
        """Answer `resources/read`."""
        server, uri = await self._resource(ctx, params.uri)
        sent = continued(ctx, {"uri": uri})
        result = await self._offers.send(ctx, server, "resources/read", sent)
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
            raise passed(error) from error
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
                in_use = server in self._offers.servers_of(living)
                if in_use and not self._offers.decide(living, Capability.RESOURCE, own).denied:
                    names.append(uri)
        return names

    async def _resource(self, ctx: Context, uri: str) -> tuple[str, str]:
        """Return the server and its own URI of a resource in scope. Raises `MCPError` if there is none."""
        principal = principal_of(ctx)
        found = await self._located(principal, uri)
        await self._offers.record(principal, Capability.RESOURCE, uri, found and found[0])
        if found is None:
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
        return found

    async def _located(self, principal: Principal, uri: str) -> tuple[str, str] | None:
        if (listed := await self._offers.find(principal, "resources", uri)) is not None:
            return listed.server, listed.own
        if wanders(uri):  # only what is listed and named exactly may be written like that
            return None
        templates = await self._offers.of(principal, "resourceTemplates")
        for template in templates:
            prefix = "" if template.shown == template.own else f"{template.server}+"
            if uri.startswith(prefix) and fits(uri[len(prefix) :], template.own):
                return template.server, uri[len(prefix) :]
        servers = self._offers.servers_of(principal)
        if len(servers) == 1 and not self._offers.decide(principal, Capability.RESOURCE, uri).denied:
            return servers[0], uri
        return None
