"""Prompts, and the completion of what is typed into a prompt or a resource template."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.model import Capability, Json
from interlock.gateway.mcp.caller import Context, principal_of
from interlock.gateway.mcp.offers import Offers, continued


class Prompts:
    """The methods of the gateway about prompts."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers

    async def list_prompts(self, ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
        """Answer `prompts/list`."""
        return await self._offers.listed(ctx, "prompts", params)

    async def get_prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> Any:
        """Answer `prompts/get`."""
        offer = await self._offers.find(principal_of(ctx), "prompts", params.name)
        await self._offers.record(principal_of(ctx), Capability.PROMPT, params.name, offer and offer.server)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name[:200]}")
        sent: dict[str, Json] = {"name": offer.own}
        if params.arguments is not None:
            sent["arguments"] = dict(params.arguments)
        return await self._offers.send(ctx, offer.server, "prompts/get", continued(ctx, sent))

    async def complete(self, ctx: Context, params: types.CompleteRequestParams) -> Any:
        """Answer `completion/complete` for a prompt or a template in scope."""
        principal = principal_of(ctx)
        decision = self._offers.decide(principal, Capability.COMPLETION, "")
        if decision.denied:
            await self._offers.record(principal, Capability.COMPLETION, "", None)
            raise MCPError(types.INVALID_PARAMS, decision.reason.message)
        sent = {
            key: value for key, value in (ctx.params or {}).items() if key in ("ref", "argument", "context")
        }
        if isinstance(params.ref, types.PromptReference):
            key, name = "name", params.ref.name
            offer = await self._offers.find(principal, "prompts", name)
        else:
            key, name = "uri", params.ref.uri
            offer = await self._offers.find(principal, "resourceTemplates", name)
            offer = offer or await self._offers.find(principal, "resources", name)
        await self._offers.record(principal, Capability.COMPLETION, name, offer and offer.server)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, "There is no such prompt or resource template in scope.")
        sent["ref"] = {**sent["ref"], key: offer.own}
        return await self._offers.send(ctx, offer.server, "completion/complete", sent)
