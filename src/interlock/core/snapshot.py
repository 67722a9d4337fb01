"""What one decision reads, as values: nothing is looked up while deciding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from interlock.core.budget import Account
from interlock.core.bundle import Bundle
from interlock.core.identity import Revocations
from interlock.core.kill import Kills
from interlock.core.model import AutonomyTier, BreakerState, Json, Pin, RiskTier, Verdict, placed

SchemaCheck = Callable[[Mapping[str, Json]], str | None]
_NO_STATES: Mapping[tuple[str, str], BreakerState] = {}
_NO_CAUSES: Mapping[tuple[str, str], str] = {}
_NO_KILLS: Kills = {}
_NO_FLOORS: Mapping[RiskTier, Verdict] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run so far. `calls` counts its admitted calls by tool, without the one being decided.

    `above` are the runs that it was started from, nearest first: each its id and workflow (B9). `score` is
    the lowest that evaluators gave it (basis points), None while nobody did (E2).
    """

    run: str
    workflow: str
    version: int
    open: bool = True
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    labels: frozenset[str] = frozenset()
    started_at: int = 0
    above: tuple[tuple[str, str], ...] = ()
    score: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A person's yes and what it was said to: these arguments, this pin, this bundle (invariant 6).

    `tier` and `reach` are what the person saw of a call that a preview measured (A1); a reach of None was
    not known. They are read for such calls only.
    """

    approval: str
    digest: str
    pin: str
    bundle: str
    by: str
    tier: RiskTier = RiskTier.HIGH_BLAST_RADIUS
    reach: Mapping[str, Json] | None = None


@placed
class Snapshot:
    """Everything one decision reads, as values.

    `schema_problem` checks arguments against the pinned schema and says what is wrong; None means that no
    schema is known, which denies. `reach` is what the tool's preview measured, None where it is not known;
    `unmeasured` says why not. `above` are the runs that it was started from, nearest first (B9). `kill` has
    each subject that was stopped and how far (`core.kill`). `taint_floors` is empty unless switched on.
    `breakers` has those that are not closed, `tripped` why each of them opened. `exercised` says that the
    tool's undo was tried out on the tools as they are registered now (E5). `trials` are the clean ones of
    the tool in this version of the workflow, counted where the workflow asks for some (F1).
    """

    environment: str
    bundle: Bundle | None
    revoked: Revocations = field(default_factory=Revocations)
    run: RunFacts | None = None
    above: tuple[RunFacts, ...] = ()
    pin: Pin | None = None
    breakers: Mapping[tuple[str, str], BreakerState] = field(default_factory=lambda: _NO_STATES)
    accounts: Sequence[Account] = ()
    autonomy: AutonomyTier | None = None
    schema_problem: SchemaCheck | None = None
    reach: Mapping[str, Json] | None = None
    unmeasured: str = ""
    approved: Approved | None = None
    kill: Kills = field(default_factory=lambda: _NO_KILLS)
    taint_floors: Mapping[RiskTier, Verdict] = field(default_factory=lambda: _NO_FLOORS)
    tripped: Mapping[tuple[str, str], str] = field(default_factory=lambda: _NO_CAUSES)
    exercised: bool = False
    trials: int = 0


def any_arguments(_: Mapping[str, Json]) -> str | None:
    """Accept all arguments: a `schema_problem` for explaining rules where no tool server was asked."""
    return None
