"""What a kill has done and what it has not: confirmed, in flight, in doubt, out of reach (B5).

Everything is looked up anew each time, so asking again checks again. Nothing is claimed that was not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.kill import EVERYTHING, KillLevel, KillScope, scope_of
from interlock.core.model import SECOND, Json
from interlock.store import actions, kills, runs
from interlock.store.database import Store
from interlock.store.kills import Kill
from interlock.store.memory import Memory

_PROGRAM = "The agent's own program goes on running; it gets refusals. End its process where it runs."
_LATER = "A process that cannot reach the database, and whose data directory has no kill file, does not know."


@dataclass(frozen=True, slots=True, kw_only=True)
class KillReport:
    """`refusing`: this process refuses now. `processes` have said that they obey. `in_flight` was cut and has
    not ended, or goes on; `in_doubt` had been sent; `cannot_reach` is in words.
    """

    kill: str
    subject: str
    level: KillLevel
    refusing: bool
    recorded: bool
    processes: tuple[dict[str, Json], ...]
    in_flight: tuple[dict[str, str], ...]
    in_doubt: tuple[dict[str, str], ...]
    cannot_reach: tuple[str, ...]

    @property
    def settled(self) -> bool:
        """Whether nothing is open any more: nothing in flight, nothing in doubt."""
        return self.refusing and self.recorded and not (self.in_flight or self.in_doubt)


def report_now(memory: Memory, kill: str, *, recorded: bool) -> KillReport | None:
    """Say what this process knows without the store; None where it obeys no such kill."""
    known = memory.kills.get(kill)
    if known is None:
        return None
    subject, level = known
    return KillReport(
        kill=kill,
        subject=subject,
        level=level,
        refusing=True,
        recorded=recorded,
        processes=(),
        in_flight=_in_flight(memory, subject),
        in_doubt=(),
        cannot_reach=("It is not on record yet, so other processes cannot have learned of it.", _PROGRAM),
    )


async def report_kill(*, store: Store, memory: Memory, kill: str) -> KillReport:
    """Look up what a kill has done so far. Raises `NotFound`, `StoreError`."""
    found = await store.read(lambda connection: kills.get(connection, kill))
    processes = await store.read(lambda connection: kills.reports(connection, kill))
    doubtful = await store.read(lambda connection: _in_doubt(connection, found, memory.environment))
    beside = await store.read(lambda connection: _beside(connection, found, memory.environment))
    return KillReport(
        kill=kill,
        subject=found.subject,
        level=found.level,
        refusing=kill in memory.kills,
        recorded=True,
        processes=tuple(processes),
        in_flight=_in_flight(memory, found.subject),
        in_doubt=tuple(
            {"action": each.id, "what": f"tool {each.tool}", "run": each.run} for each in doubtful
        ),
        cannot_reach=(*beside, *_out_of_reach(found.subject, found.level)),
    )


def _in_flight(memory: Memory, subject: str) -> tuple[dict[str, str], ...]:
    return tuple(
        {"what": each.what, "run": each.run, "action": each.action} for each in memory.flights.of(subject)
    )


def _in_doubt(connection: sa.Connection, kill: Kill, environment: str) -> list[Action]:
    """Return what had been sent when it was cut: whether it happened, nobody knows yet."""
    return [
        each
        for each in actions.in_state(connection, ActionState.IN_DOUBT)
        if each.updated_at >= kill.pressed_at - SECOND
        and actions.principal_of(each).environment == environment
        and _concerns(each, kill.subject)
    ]


def _concerns(action: Action, subject: str) -> bool:
    scope, name = scope_of(subject)
    match scope:
        case KillScope.RUN:
            return action.run == name
        case KillScope.WORKFLOW:
            return action.workflow == name
        case KillScope.AGENT:
            return action.agent == name
        case KillScope.TOOL:
            return action.tool == name
        case KillScope.ENVIRONMENT | KillScope.ALL:
            return True


def _beside(connection: sa.Connection, kill: Kill, environment: str) -> list[str]:
    """Name the programs that said they call models by themselves: nothing of ours is in between."""
    scope, name = scope_of(kill.subject)
    wanted = {KillScope.RUN: "id", KillScope.WORKFLOW: "workflow", KillScope.AGENT: "agent"}.get(scope)
    return [
        f"{run.id} calls its model provider by itself: those calls were never governed."
        for run in runs.listed(connection, limit=500)
        if run.direct_models
        and run.environment == environment
        and (run.closed_at is None or run.closed_at >= kill.pressed_at - SECOND)
        and (wanted is None or getattr(run, wanted) == name)
    ]


def _out_of_reach(subject: str, level: KillLevel) -> list[str]:
    said = [_LATER] if subject == EVERYTHING else []
    if level is not KillLevel.STOP:
        return [*said, f"A {level.value} cuts nothing: what is under way goes on to its end."]
    return [*said, _PROGRAM]
