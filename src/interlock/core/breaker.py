"""Circuit breakers: what trips one, what its three states leave of a call, and how it closes (E1, E2).

Closed: nothing is refused. Half-open: whatever writes needs a person, and any failure opens it again. Open:
nothing passes. Only a person's signature leads out of open; no time does (invariant 7).

Failures in a row, and an undo that failed, open a tool's breaker; everything else a workflow's, and in a tree
of runs that of the first run (B9). An agent's opens when two of its workflows are open at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from interlock.core.model import BreakerState, RiskTier, Verdict

AGENT_LIMIT = 2
"""How many of an agent's workflows are open when its own breaker opens too."""

REMEMBERED = 256
"""How many different calls of a tree of runs are remembered: a longer loop is not seen as one."""

_S = BreakerState


class BreakerKind(StrEnum):
    """What a breaker is of."""

    TOOL = "tool"
    WORKFLOW = "workflow"
    AGENT = "agent"


class Trigger(StrEnum):
    """Why a breaker opened (E2)."""

    TOOL_FAILURES = "tool_failures"
    IDENTICAL_CALLS = "identical_calls"
    RUN_COST = "run_cost"
    LOW_QUALITY = "low_quality"
    APPROVAL_EXPIRED = "approval_expired"
    COMPENSATION_FAILED = "compensation_failed"
    HALF_OPEN_FAILURE = "half_open_failure"
    WORKFLOWS_OPEN = "workflows_open"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One breaker. `opening` counts how often it has opened; each sign-off is for one opening.

    `failures` and `low_runs` count in a row. `clean_runs` are the runs that ended without a failure since it
    is half-open: the evidence for closing it.
    """

    kind: BreakerKind
    name: str
    state: BreakerState = BreakerState.CLOSED
    opening: int = 0
    failures: int = 0
    low_runs: int = 0
    clean_runs: int = 0

    @property
    def subject(self) -> tuple[str, str]:
        """How decisions know it."""
        return self.kind.value, self.name

    @property
    def label(self) -> str:
        """How people name it."""
        return f"{self.kind.value}:{self.name}"


def stance(state: BreakerState, tier: RiskTier) -> Verdict:
    """Return the mildest verdict that a breaker in `state` leaves for a call of `tier`."""
    if state is BreakerState.OPEN:
        return Verdict.DENY
    if state is BreakerState.HALF_OPEN and tier is not RiskTier.READ_ONLY:
        return Verdict.REQUIRE_APPROVAL
    return Verdict.ALLOW


def may_move(current: BreakerState, following: BreakerState, *, signed: bool) -> bool:
    """Whether a breaker may change so; towards closed only step by step, and with a person's signature."""
    if current is following:
        return False
    if following is BreakerState.OPEN:
        return True
    return signed and current is not BreakerState.CLOSED


def subject_of(label: str) -> tuple[BreakerKind, str]:
    """Return kind and name of a breaker as people name it, `tool:NAME`. Raises `ValueError`."""
    kind, _, name = label.partition(":")
    if not name or kind not in tuple(BreakerKind):
        raise ValueError("not the name of a breaker")
    return BreakerKind(kind), name


def opened(breaker: Breaker) -> Breaker:
    """Return the breaker as it trips: open, under the next number, with its counters begun anew."""
    return replace(breaker, state=_S.OPEN, opening=breaker.opening + 1, failures=0, low_runs=0, clean_runs=0)


def signed(breaker: Breaker, to: BreakerState) -> Breaker:
    """Return the breaker as a person signed it. The counters begin anew."""
    return replace(breaker, state=to, failures=0, low_runs=0, clean_runs=0)


def failed(breaker: Breaker, limit: int) -> tuple[Breaker, Trigger | None]:
    """Count a failure of a call that this breaker guards; say whether it trips.

    What was on its way when it opened changes nothing any more. A workflow or an agent is not to blame for
    a tool's failure, unless it is on probation.
    """
    if breaker.state is _S.HALF_OPEN:
        return breaker, Trigger.HALF_OPEN_FAILURE
    if breaker.state is _S.OPEN or breaker.kind is not BreakerKind.TOOL:
        return breaker, None
    counted = replace(breaker, failures=breaker.failures + 1)
    return counted, Trigger.TOOL_FAILURES if counted.failures >= limit else None


def succeeded(breaker: Breaker) -> Breaker:
    """Count a success: failures are no longer in a row."""
    return replace(breaker, failures=0) if breaker.failures else breaker


def scored(breaker: Breaker, lowest: int | None, *, floor: int, runs: int) -> tuple[Breaker, Trigger | None]:
    """Count a run that ended with `lowest` as its score; say whether `runs` low ones in a row trip it.

    Score and floor are in basis points. A run without a score is a low one: nothing speaks for it. While the
    breaker is not closed nothing is counted: then a person looks anyway.
    """
    if breaker.state is not _S.CLOSED:
        return breaker, None
    if lowest is not None and lowest >= floor:
        return replace(breaker, low_runs=0), None
    counted = replace(breaker, low_runs=breaker.low_runs + 1)
    return counted, Trigger.LOW_QUALITY if counted.low_runs >= runs else None


def ran_clean(breaker: Breaker) -> Breaker:
    """Count a run that ended without a failure as evidence; only while the breaker is half-open."""
    if breaker.state is not _S.HALF_OPEN:
        return breaker
    return replace(breaker, clean_runs=breaker.clean_runs + 1)


class Repeats:
    """How often each call was made in one tree of runs; only the latest `REMEMBERED` ones are known."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], int] = {}

    def seen(self, tool: str, digest: str) -> int:
        """Return how often a call was made; 0 for one that is not remembered."""
        return self._calls.get((tool, digest), 0)

    def add(self, tool: str, digest: str) -> int:
        """Count a call and return how often it was made by now."""
        calls, key = self._calls, (tool, digest)
        count = calls[key] = calls.pop(key, 0) + 1
        if len(calls) > REMEMBERED:
            del calls[next(iter(calls))]
        return count
