"""How the API shows a request for a decision, and who acts on it."""

from __future__ import annotations

from functools import partial

from interlock.core.action import ActionState
from interlock.core.approval import NEVER, Approval, ApprovalState, Decider, missing_votes
from interlock.core.model import Json
from interlock.services.approve import Approve
from interlock.services.register import schema_check
from interlock.store import actions
from interlock.web.auth import READERS, Person
from interlock.wiring import Wired


def use(wired: Wired) -> Approve:
    """Return the use case of people's decisions."""
    settings = wired.settings
    return Approve(
        store=wired.store,
        memory=wired.memory,
        runtime=wired.runtime,
        process=wired.calls.process,
        self_approval=settings.self_approve and settings.environment == "dev",
        measure=partial(wired.calls.measure.reach, own=1),
        check=schema_check,
    )


def decider(person: Person) -> Decider:
    """Return the person as one who wants to decide."""
    return Decider(name=person.name, roles=person.roles)


def may_see(person: Person, approval: Approval) -> bool:
    """Return whether the person may read a request: by a role, or because it names them, now or later."""
    asked = (approval.approvers, *(each.people for each in approval.stages))
    return person.may(*READERS) or any(person.name in names for names in asked)


async def approved(wired: Wired, approval: Approval) -> dict[str, Json]:
    """Return a request that somebody agreed to, with `due_at` where its call is carried out only later."""
    action = await wired.store.read(lambda connection: actions.get(connection, approval.action))
    due_at = action.due_at if action.state is ActionState.SCHEDULED else None
    return {**plain(approval), "due_at": due_at}


def plain(approval: Approval) -> dict[str, Json]:
    """Return a request as JSON. A parked one has no end."""
    waits = approval.state is ApprovalState.PENDING
    return {
        "id": approval.id,
        "kind": approval.kind.value,
        "state": approval.state.value,
        "action": approval.action,
        "requested_at": approval.requested_at,
        "expires_at": None if approval.expires_at == NEVER else approval.expires_at,
        "at_end": approval.at_end.value,
        "approvers": list(approval.approvers),
        "stage": approval.stage or None,
        "stages": [{"name": each.name, "people": list(each.people)} for each in approval.stages],
        "stage_ends_at": approval.level_at + approval.sla if waits and approval.sla else None,
        "needs": approval.needs,
        "missing": max(0, missing_votes(approval)) if waits else 0,
        "votes": [{"person": each.person, "at": each.at, "reason": each.reason} for each in approval.votes],
        "requester": approval.requester or None,
        "revision_of": approval.revision_of or None,
        "revised_by": approval.revised_by or None,
        "decided_by": approval.decided_by or None,
        "decided_at": approval.decided_at or None,
        "reason": approval.reason or None,
        "answer": approval.answer,
        "question": approval.arguments if approval.of_server else None,
    }
