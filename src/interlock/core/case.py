"""One decision while it is being made: what is known of the call so far, and what a check may answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interlock.core.bundle import Bundle
from interlock.core.model import EffectClass, Gate, Json, Pin, Reason, Request, RiskTier
from interlock.core.policy.field import Facts
from interlock.core.scope import CompiledGrant
from interlock.core.snapshot import RunFacts, Snapshot
from interlock.core.tool import CompiledTool
from interlock.core.workflow import CompiledWorkflow

Said = tuple[Reason, ...]
CONTENT: Said = ()
_FIRST, _WIDEST, _HARDEST = Gate.TOKEN, RiskTier.HIGH_BLAST_RADIUS, EffectClass.ONCE


class Case:
    """One decision while it is being made. Until more is known, the call is of the widest kind."""

    __slots__ = (
        "bundle",
        "confidence",
        "effect",
        "facts",
        "gate",
        "grant",
        "line",
        "now",
        "pin",
        "request",
        "run",
        "snapshot",
        "tier",
        "tool",
        "workflow",
    )
    run: RunFacts
    bundle: Bundle
    workflow: CompiledWorkflow
    line: Sequence[tuple[RunFacts, CompiledWorkflow]]
    grant: CompiledGrant
    tool: CompiledTool
    pin: Pin
    facts: Facts
    confidence: dict[str, Json] | None

    def __init__(self, request: Request, snapshot: Snapshot, now: int) -> None:
        self.request = request
        self.snapshot = snapshot
        self.now = now
        self.gate = _FIRST
        self.tier = _WIDEST
        self.effect = _HARDEST
        self.confidence = None


Check = Callable[[Case], Said]
