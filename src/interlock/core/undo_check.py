"""What is wrong with the undos that a bundle declares, held against the tools as they are registered (E5).

In production an undo that cannot work is an error, because autonomy would rest on it; elsewhere it is said.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.core.bundle import Bundle, BundleInvalid, Problem
from interlock.core.case import PRODUCTION
from interlock.core.compensation import misfits
from interlock.core.document.kind import key
from interlock.core.document.tool import Companion, Tool
from interlock.core.model import EffectClass, Json


def check_undos(bundle: Bundle, schemas: Mapping[str, Mapping[str, Json]]) -> tuple[Problem, ...]:
    """Return what is wrong; `schemas` are the input schemas of the tools that are registered."""
    return tuple(
        Problem(document=key(tool), path=("spec", "undo", *place), message=message)
        for tool in bundle.documents
        if isinstance(tool, Tool) and tool.undo is not None
        for place, message in _flaws(bundle, tool, tool.undo, schemas)
    )


def require_undos(bundle: Bundle, schemas: Mapping[str, Mapping[str, Json]]) -> tuple[str, ...]:
    """Return in words what is wrong. Raises `BundleInvalid` for it in production."""
    found = check_undos(bundle, schemas)
    if found and bundle.environment == PRODUCTION:
        raise BundleInvalid(found)
    return tuple(f"tool {each.document[1]}: its undo cannot work: {each.message}" for each in found)


def _flaws(
    bundle: Bundle, tool: Tool, undo: Companion, schemas: Mapping[str, Mapping[str, Json]]
) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    compiled = bundle.tools[undo.tool]
    if not compiled.mapped:
        found.append((("tool",), f"{undo.tool} is not mapped, so nobody knows what undoing does"))
    elif compiled.effect in (EffectClass.ONCE, EffectClass.PROBEABLE):
        said = f"{undo.tool} has the effect {compiled.effect.value}: an undo is idempotent"
        found.append((("tool",), said))
    return found + misfits(undo, schemas.get(tool.name), schemas.get(undo.tool))
