"""What is wrong with declared undos and second steps, held against the tools as they are registered (E5).

In production an undo that cannot work is an error, because autonomy would rest on it; elsewhere it is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from interlock.core.bundle import Bundle, BundleInvalid, Problem
from interlock.core.document.kind import key
from interlock.core.document.tool import Companion, Tool
from interlock.core.misfit import misfits
from interlock.core.model import PRODUCTION, EffectClass, Json


def check_undos(bundle: Bundle, schemas: Mapping[str, Mapping[str, Json]]) -> tuple[Problem, ...]:
    """Return what is wrong; `schemas` are the input schemas of the tools that are registered."""
    return tuple(
        Problem(document=key(tool), path=("spec", *where, *place), message=message)
        for tool in bundle.documents
        if isinstance(tool, Tool)
        for where, call in _calls(tool)
        for place, message in _flaws(bundle, tool, call, schemas)
    )


def require_undos(bundle: Bundle, schemas: Mapping[str, Mapping[str, Json]]) -> tuple[str, ...]:
    """Return in words what is wrong. Raises `BundleInvalid` for it in production."""
    found = check_undos(bundle, schemas)
    if found and bundle.environment == PRODUCTION:
        raise BundleInvalid(found)
    return tuple(
        f"tool {each.document[1]}: its {_what(each.path)} cannot work: {each.message}" for each in found
    )


def _calls(tool: Tool) -> Iterator[tuple[tuple[str, ...], Companion]]:
    """Yield the calls that an entry derives from one of its tool, each with its place."""
    if tool.undo is not None:
        yield ("undo",), tool.undo
    if tool.follow_up is not None:
        yield ("follow_up",), tool.follow_up.call
    if tool.settlement is not None:
        yield ("settlement", "confirm"), tool.settlement.confirm
        yield ("settlement", "void"), tool.settlement.void


def _does(call: Companion, tool: Tool) -> str:
    return "undoing" if call == tool.taken_back_by else "it"


def _what(path: tuple[str | int, ...]) -> str:
    """Return what the problem at `path` is with, in words."""
    return str(path[2] if path[1] == "settlement" else path[1]).replace("_", "-")


def _flaws(
    bundle: Bundle, tool: Tool, call: Companion, schemas: Mapping[str, Mapping[str, Json]]
) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    compiled = bundle.tools[call.tool]
    if not compiled.mapped:
        found.append((("tool",), f"{call.tool} is not mapped, so nobody knows what {_does(call, tool)} does"))
    elif call == tool.taken_back_by and compiled.effect in (EffectClass.ONCE, EffectClass.PROBEABLE):
        said = f"{call.tool} has the effect {compiled.effect.value}: an undo is idempotent"
        found.append((("tool",), said))
    return found + misfits(call, schemas.get(tool.name), schemas.get(call.tool))
