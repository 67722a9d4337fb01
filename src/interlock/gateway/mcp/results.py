"""Results on their way to the agent: shortened where a rule says so, whole again by reference (B7).

A short result says in its own words that it is one, how much is missing, and how to get the rest.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.answer import Answer, Broken, Completed
from interlock.core.model import Json, Principal
from interlock.errors import StoreError
from interlock.gateway.mcp.names import RESULT
from interlock.gateway.mcp.reply import result_of
from interlock.gateway.mcp.summary import Summaries
from interlock.services.shorten import LONGEST_PIECE, Piece, Short, Shorten
from interlock.wiring import Wired

log = logging.getLogger(__name__)

_USUAL = 16_000
_NOBODY = "There is no shortened result of that reference in this run, or it is kept no longer."
_TAKES = f"{RESULT} takes reference and, as whole numbers, offset (from 0) and length (1 to {LONGEST_PIECE})."


class Results:
    """The results of one gateway."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self._shorten = Shorten(store=wired.store, memory=wired.memory)
        self._summaries = Summaries(models=wired.models)

    async def of(self, answer: Answer, principal: Principal, tool: str = "") -> dict[str, Json]:
        """Return the MCP result for an answer about `tool`, shortened where a rule says so.

        While an original cannot be kept, the result goes out whole. Raises `MCPError` where the tool server's
        own error passes on.
        """
        if isinstance(answer, Completed):
            payload = await self.short(answer.payload, principal, answer.tool or tool)
            answer = answer if payload is answer.payload else replace(answer, payload=payload)
        return result_of(answer)

    async def short(self, payload: dict[str, Json], principal: Principal, tool: str) -> dict[str, Json]:
        """Return a tool's result shortened where a rule says so, else `payload` itself."""
        if not isinstance(payload.get("content") or [], list):
            return payload  # a task's result, which nobody has checked, may have any form

        async def summarise(text: str, model: str, to: int) -> str | None:
            return await self._summaries.of(text, model=model, to=to, principal=principal)

        try:
            short = await self._shorten.result(payload, principal, tool, summarise=summarise)
        except StoreError as error:
            log.warning("a large result goes out whole: %s", error.message)
            return payload
        return payload if short is None else _noted(short)

    async def original(self, principal: Principal, arguments: dict[str, Any]) -> dict[str, Json]:
        """Answer a call of `interlock_result`. Raises `MCPError` for arguments that are not its own."""
        reference, offset, length = _read(arguments)
        try:
            piece = await self._shorten.original(
                principal, reference, offset=offset, length=length, now=self._wired.runtime.clock.now()
            )
        except StoreError as error:
            return result_of(Broken(message=error.message))
        return result_of(Broken(message=_NOBODY)) if piece is None else _shown(piece, reference)


def _read(arguments: dict[str, Any]) -> tuple[str, int, int]:
    reference = arguments.get("reference")
    offset, length = arguments.get("offset", 0), arguments.get("length", _USUAL)
    known = arguments.keys() <= {"reference", "offset", "length"} and isinstance(reference, str)
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in (offset, length))
    if not known or not whole or offset < 0 or not 0 < length <= LONGEST_PIECE:
        raise MCPError(types.INVALID_PARAMS, _TAKES)
    return cast(str, reference), offset, length


def _noted(short: Short) -> dict[str, Json]:
    """Return the short payload with a last block that says so."""
    done, reference = short.shortened, short.reference
    if reference is None:
        rest = "The whole was too large to be kept; ask the tool for less."
    else:
        rest = f"To read the whole, call {RESULT} with reference {reference!r}."
    note = f"[Interlock shortened this result from {done.before} to {done.after} bytes. {rest}]"
    meta = cast("dict[str, Json]", done.payload.get("_meta") or {})
    return {
        **done.payload,
        "content": [*done.payload["content"], {"type": "text", "text": note}],
        "_meta": {**meta, "interlock/original": reference, "interlock/original_bytes": done.before},
    }


def _shown(piece: Piece, reference: str) -> dict[str, Json]:
    last = piece.offset + len(piece.text)
    said = f"[Characters {piece.offset} to {last} of {piece.total}."
    said += "]" if piece.following is None else f" Go on with offset {piece.following}.]"
    meta: dict[str, Json] = {"interlock/original": reference, "interlock/total": piece.total}
    if piece.following is not None:
        meta["interlock/next_offset"] = piece.following
    return {
        "content": [{"type": "text", "text": piece.text}, {"type": "text", "text": said}],
        "isError": False,
        "_meta": meta,
    }
