"""Circuit breakers: what trips one, what its three states leave of a call, and how it closes (E1, E2).

Closed: nothing is refused. Half-open: whatever writes needs a person, and any failure opens it again. Open:
nothing passes. Only a person's signature leads out of open; no time does (invariant 7).

Failures in a row, and an undo that failed, open a tool's breaker; everything else a workflow's, and in a tree
of runs that of the first run (B9). An agent's opens when two of its workflows are open at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

from interlock.core.action import Action, ActionState
from interlock.core.model import BreakerState, Json, RiskTier, Verdict

AGENT_LIMIT = 2
"""How many of an agent's workflows are open when its own breaker opens too."""

REMEMBERED = 256
"""How many different calls of a tree of runs are remembered: a longer loop is not seen as one."""

_S = BreakerState
_NOTHING: Mapping[str, Json] = {}
_INVALID_PARAMS = -32602
_PROTOCOL_ERROR = "interlock/error"
_CORRECTABLE = "interlock/correctable"
_STATUSES: frozenset[object] = frozenset({400, 404, 405, 409, 410, 411, 412, 413, 414, 415, 416, 422})
_CODES: frozenset[object] = frozenset(
    {"invalid_argument", "invalid_params", "validation_error", "bad_request", "not_found", "out_of_range",
     "already_exists", "conflict", "failed_precondition"}
)  # fmt: skip


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


class Effect(StrEnum):
    """What a call that ended says about its tool."""

    CLEAN = "clean"
    FAILURE = "failure"
    NEITHER = "neither"


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


def effect_of(was: Action, now: Action) -> Effect:
    """Return what a move of an action says about its tool.

    An outcome that is not known counts as a failure. What never left this process says nothing, nor does an
    error that the caller can correct.
    """
    if was.state is not ActionState.EXECUTING:
        return Effect.NEITHER
    if now.state in _CLEAN:
        return Effect.CLEAN
    if now.state is ActionState.FAILED:
        sent = now.lease_until > 0
        return Effect.FAILURE if sent and not correctable(now.result) else Effect.NEITHER
    return Effect.FAILURE if now.state in _UNKNOWN else Effect.NEITHER


_CLEAN = frozenset({ActionState.SUCCEEDED, ActionState.COMPENSATING})
_UNKNOWN = frozenset({ActionState.IN_DOUBT, ActionState.RETRY})


def correctable(result: Mapping[str, Json] | None) -> bool:
    """Whether a definite error is about what the caller asked for, and the tool itself is well.

    Told by the protocol's code for invalid parameters, by the server's own word (`_meta`
    `interlock/correctable`), or by a status or code of its structured content that says so. A sentence tells
    nothing: where only words came, it is a failure.
    """
    if result is None:
        return False
    meta, said = _object(result.get("_meta")), _object(result.get("structuredContent"))
    if _object(meta.get(_PROTOCOL_ERROR)).get("code") == _INVALID_PARAMS:
        return True
    own = meta.get(_CORRECTABLE)
    if isinstance(own, bool):
        return own
    error = _object(said.get("error"))
    words = [part.get(name) for part in (said, error) for name in ("status", "code")]
    return any(_tells(each) for each in words)


def _tells(word: Json) -> bool:
    if isinstance(word, str):
        return word.lower() in _CODES
    return isinstance(word, int) and word in _STATUSES


def _object(found: Json) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", found) if isinstance(found, dict) else _NOTHING


def tripped_by(now: Action) -> tuple[BreakerKind, Trigger] | None:
    """Return what a move of an action trips by itself, whatever the counters say."""
    if now.state is ActionState.COMPENSATION_FAILED:
        return BreakerKind.TOOL, Trigger.COMPENSATION_FAILED
    if now.state is ActionState.EXPIRED and now.tier is RiskTier.HIGH_BLAST_RADIUS:
        return BreakerKind.WORKFLOW, Trigger.APPROVAL_EXPIRED
    return None


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
