"""Requests that ask the same of a person, put together to be decided item by item or at once.

Equal means the same tool in the same workflow, of the same tier, for the same reasons. Each item keeps its
own decision; what a person was shown of it is told by the digest of its arguments (F2, F4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from interlock.core.action import Action
from interlock.core.model import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What makes requests equal. `reasons` are the codes and rules of the decision, in their order."""

    tool: str
    workflow: str
    tier: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[T]):
    """Requests that are alike, the one that waits longest first."""

    likeness: Likeness
    items: tuple[T, ...]


def likeness(action: Action) -> Likeness:
    """Return what a request about `action` is like."""
    reasons = cast("Sequence[Mapping[str, Json]]", action.decision.get("reasons") or ())
    return Likeness(
        tool=action.tool,
        workflow=action.workflow,
        tier=action.tier.value,
        reasons=tuple(dict.fromkeys(_reason(each) for each in reasons)),
    )


def batches(items: Iterable[tuple[T, Action]]) -> list[Batch[T]]:
    """Put what is alike together; `items` come oldest first. The largest batch is first, then the oldest."""
    found: dict[Likeness, list[T]] = {}
    for item, action in items:
        found.setdefault(likeness(action), []).append(item)
    every = [Batch(likeness=like, items=tuple(each)) for like, each in found.items()]
    return sorted(every, key=lambda each: -len(each.items))


def _reason(reason: Mapping[str, Any]) -> str:
    rule = f" ({reason['rule']})" if reason.get("rule") else ""
    return f"{reason.get('code', '')}{rule}"
