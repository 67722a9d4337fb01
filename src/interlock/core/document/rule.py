"""Rules as declared. Conditions stay as they are written; `core.policy` compiles them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.core.document.named import Document
from interlock.core.model import Json, Verdict

Conditions = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Local hours in which a rule does not apply: ISO days 1 to 7, `start` ≤ hour < `end`."""

    tz: str
    days: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule only tightens: when it matches, the verdict is at least `then`."""

    id: str
    tool: str
    then: Verdict
    when: Conditions = field(default_factory=dict[str, Json])
    unless_hours: Hours | None = None
    examples: tuple[Mapping[str, Json], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Document):
    """Organisation-wide rules, in the same language."""

    rules: tuple[Rule, ...] = ()
