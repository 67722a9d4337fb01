"""Who may decide on a request, and why an act of a person does not count (F2, F4, invariant 6).

Whoever is asked by name or, where nobody is named, holds the role; never before their stage has begun, and
never on their own call. Each no is a value with its ground and a sentence for the person who tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from interlock.core.approval import Act, Approval, ApprovalState, Decider, expired


class Ground(StrEnum):
    """Why an act does not count: it is over, the person may not, something else is asked for or missing."""

    CONFLICT = "conflict"
    NOT_PERMITTED = "not_permitted"
    MISPLACED = "misplaced"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why the act does not count, for the person who tried."""

    ground: Ground
    message: str


def objection(
    approval: Approval, act: Act, person: Decider, *, reason: str, now: int, self_approval: bool = False
) -> Objection | None:
    """Say why `person` cannot do `act` now, or None when it counts.

    `self_approval` lets a requester decide on their own call; only the environment dev may set it.
    """
    return (
        _over(approval, now)
        or _not_theirs(approval, act, person, self_approval=self_approval)
        or _other_kind(approval, act)
        or _voted(approval, act, person)
        or _incomplete(act, reason)
    )


def _over(approval: Approval, now: int) -> Objection | None:
    if approval.state is not ApprovalState.PENDING:
        by = f" by {approval.decided_by}" if approval.decided_by else ""
        answered = approval.kind.question and approval.state is ApprovalState.APPROVED
        ended = "answered" if answered else approval.state.value
        return Objection(ground=Ground.CONFLICT, message=f"This approval is already {ended}{by}.")
    if expired(approval, now):
        return Objection(ground=Ground.CONFLICT, message="This approval has expired; nobody decided in time.")
    return None


def _not_theirs(approval: Approval, act: Act, person: Decider, *, self_approval: bool) -> Objection | None:
    unasked = _not_asked(approval, person)
    if unasked is not None or act is Act.REJECT:
        return unasked
    if person.name == approval.agent:
        return _no("An agent never decides on its own call.")
    own = approval.kind.question and not approval.of_server
    if person.name == approval.requester and not (self_approval or own):
        return _no(f"{person.name} started the run that asks for this; another person decides.")
    if person.name == approval.revised_by:
        return _no(f"{person.name} changed these arguments; another person approves them.")
    return None


def _not_asked(approval: Approval, person: Decider) -> Objection | None:
    if person.name in approval.approvers:
        return None
    for stage in approval.stages[approval.level + 1 :]:
        if person.name in stage.people:
            return _no(
                f"{person.name} is asked in the stage {stage.name}, which has not begun; "
                f"now it is {approval.stage}."
            )
    if approval.approvers or approval.stages:
        return _no(f"{person.name} is not among the approvers of this workflow.")
    if "approver" not in person.roles:
        return _no(f"{person.name} does not hold the role approver.")
    return None


def _no(message: str) -> Objection:
    return Objection(ground=Ground.NOT_PERMITTED, message=message)


def _other_kind(approval: Approval, act: Act) -> Objection | None:
    if act is Act.REJECT or approval.kind.question == (act is Act.ANSWER):
        return None
    wanted = "an answer" if approval.kind.question else "a decision"
    message = f"This asks for {wanted}, so nobody can {act.value} it."
    return Objection(ground=Ground.MISPLACED, message=message)


def _voted(approval: Approval, act: Act, person: Decider) -> Objection | None:
    if act is Act.APPROVE and any(each.person == person.name for each in approval.votes):
        message = f"{person.name} has approved this already; it takes another person."
        return Objection(ground=Ground.CONFLICT, message=message)
    return None


def _incomplete(act: Act, reason: str) -> Objection | None:
    if act in (Act.MODIFY, Act.REJECT) and not reason.strip():
        return Objection(ground=Ground.INCOMPLETE, message=f"To {act.value} needs a reason.")
    return None
