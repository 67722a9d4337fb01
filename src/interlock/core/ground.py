"""What a decision stands on: the kills and breakers that reach a call, and all that was read, as JSON."""

from __future__ import annotations

from dataclasses import asdict

from interlock.core import kill
from interlock.core.case import Case
from interlock.core.kill import KillLevel
from interlock.core.model import BreakerState, Json, Request
from interlock.core.snapshot import Snapshot


def killed(snapshot: Snapshot, request: Request) -> dict[str, KillLevel]:
    """Return the kills that reach this call, the strictest first."""
    principal = request.principal
    subjects = kill.belongs_to(
        environment=snapshot.environment,
        agent=principal.agent,
        workflow=principal.workflow,
        run=principal.run,
        tool=request.tool,
        above=() if snapshot.run is None else snapshot.run.above,
    )
    return kill.standing(snapshot.kill, subjects)


def tripped(snapshot: Snapshot, request: Request) -> dict[tuple[str, str], BreakerState]:
    """Return the breakers of this call that are not closed, those of the runs above among them (B9)."""
    principal = request.principal
    subjects = (
        ("agent", principal.agent),
        ("workflow", principal.workflow),
        ("tool", request.tool),
        *(("workflow", above.workflow) for above in snapshot.above),
        *(("agent", agent) for agent in _agents_above(snapshot)),
    )
    found = {subject: snapshot.breakers[subject] for subject in subjects if subject in snapshot.breakers}
    return {subject: state for subject, state in found.items() if state is not BreakerState.CLOSED}


def _agents_above(snapshot: Snapshot) -> list[str]:
    if snapshot.bundle is None:
        return []
    found = (snapshot.bundle.workflows.get(above.workflow) for above in snapshot.above)
    return [each.document.agent for each in found if each is not None]


def read(case: Case) -> dict[str, Json]:
    """Return the state that was read, as JSON: with request, bundle and pin, the decision can be repeated."""
    snapshot, run = case.snapshot, case.snapshot.run
    state: dict[str, Json] = {"environment": snapshot.environment}
    if run is not None:
        state["run"] = {
            "id": run.run,
            "workflow": run.workflow,
            "version": run.version,
            "open": run.open,
            "calls": dict(run.calls),
            "taints": sorted(run.labels) if run.labels else [],
            "started_at": run.started_at,
        }
    if snapshot.breakers:
        states = tripped(snapshot, case.request)
        state["breakers"] = {f"{kind}:{name}": state.value for (kind, name), state in states.items()}
    if snapshot.kill:
        found = killed(snapshot, case.request)
        state["kill"] = {subject: level.value for subject, level in found.items()}
    if snapshot.accounts:
        state["remaining"] = {each.key.scope: each.room for each in snapshot.accounts}
    if snapshot.autonomy is not None:
        state["autonomy"] = snapshot.autonomy.value
    if case.confidence is not None:
        state["confidence"] = case.confidence
    if snapshot.reach is not None:
        state["reach"] = dict(snapshot.reach)
    elif snapshot.unmeasured:
        state["unmeasured"] = snapshot.unmeasured
    if snapshot.approved is not None:
        state["approved"] = asdict(snapshot.approved)
    return state
