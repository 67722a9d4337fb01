"""What a person who is woken finds: what healthy looks like, how it fails, what to do (G1)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from interlock.core.document.named import Document

_NEEDED = ("failure_modes", "escalation", "rollback", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What healthy looks like: share of runs that succeed (basis points), the time of a run that 95 % stay
    under (µs), nano-dollars a run, runs an hour (G1).
    """

    success_rate: int | None = None
    latency: int | None = None
    cost_per_run: int | None = None
    runs_per_hour: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMode:
    """One way to fail: how it shows, what to do first, and when to call the next person."""

    name: str
    symptoms: str
    first_action: str
    escalate_when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook(Document):
    """What a person who is woken needs (G1). `escalation` names people and teams in their order."""

    owner: str | None = None
    baseline: Baseline = field(default_factory=Baseline)
    failure_modes: tuple[FailureMode, ...] = ()
    escalation: tuple[str, ...] = ()
    rollback: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """What it still needs before an alert may rest on it; nothing when it is complete."""
        needed = {f"baseline.{each.name}": getattr(self.baseline, each.name) for each in fields(Baseline)}
        needed |= {name: getattr(self, name) or None for name in _NEEDED}
        return tuple(name for name, said in needed.items() if said is None)
