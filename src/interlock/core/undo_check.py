"""What is wrong with declared undos and second steps, held against the tools as they are registered (E5).

In production an undo that cannot work is an error, because autonomy would rest on it; elsewhere it is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from interlock.core.bundle import Bundle, BundleInvalid, Problem
from interlock.core.document.kind import key
from interlock.core.document.tool import Companion, Tool
from interlock.core.misfit import UNKNOWN, Shape, misfits
from interlock.core.model import PRODUCTION, EffectClass


def check_undos(bundle: Bundle, shapes: Mapping[str, Shape]) -> tuple[Problem, ...]:
    """Return what is wrong; `shapes` are those of the tools that are registered."""
    return tuple(
        Problem(document=key(tool), path=("spec", *where, *place), message=message)
        for tool in bundle.documents
        if isinstance(tool, Tool)
        for where, call in _calls(tool)
        for place, message in _flaws(bundle, tool, call, shapes)
    )


def require_undos(bundle: Bundle, shapes: Mapping[str, Shape], *, lenient: bool = False) -> tuple[str, ...]:
    """Return in words what is wrong. Raises `BundleInvalid` for it in production, unless `lenient`.

    A rollback is lenient: going back to what was in force waits for no undo.
    """
    found = check_undos(bundle, shapes)
    if found and bundle.environment == PRODUCTION and not lenient:
        raise BundleInvalid(found)
    return tuple(f"tool {each.document[1]}: its {in_words(each)}" for each in found)


def in_words(problem: Problem) -> str:
    """Return what is wrong with which derived call: `undo cannot work: …`."""
    what = str(problem.path[2] if problem.path[1] == "settlement" else problem.path[1])
    return f"{what.replace('_', '-')} cannot work: {problem.message}"


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


def _flaws(
    bundle: Bundle, tool: Tool, call: Companion, shapes: Mapping[str, Shape]
) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    compiled = bundle.tools[call.tool]
    if not compiled.mapped:
        found.append((("tool",), f"{call.tool} is not mapped, so nobody knows what {_does(call, tool)} does"))
    elif call == tool.taken_back_by and compiled.effect in (EffectClass.ONCE, EffectClass.PROBEABLE):
        said = f"{call.tool} has the effect {compiled.effect.value}: an undo is idempotent"
        found.append((("tool",), said))
    return found + misfits(call, shapes.get(tool.name, UNKNOWN), shapes.get(call.tool, UNKNOWN))
