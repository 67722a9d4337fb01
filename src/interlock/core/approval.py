"""Who may decide on a call that waits, what the decision is worth, and for how long.

A decision is bound to the argument digest, the tool's pin and the policy bundle, is used once, and ends.
It is never the requester's own. Changing the arguments makes a new revision with a new digest; the old
one is superseded. Running out of time is told apart from a refusal (F2, F4, invariant 6).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from interlock.core.model import Json


class ApprovalState(StrEnum):
    """Where a request for approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class Act(StrEnum):
    """What a person can do with it."""

    APPROVE = "approve"
    MODIFY = "modify"
    REJECT = "reject"


class Ground(StrEnum):
    """Why an act does not count: it is over, the person may not, or the act is incomplete."""

    CONFLICT = "conflict"
    NOT_PERMITTED = "not_permitted"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a decision is about: these arguments, this tool as registered, this policy."""

    digest: str
    pin: str
    bundle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """A person who wants to decide."""

    name: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why the act does not count, for the person who tried."""

    ground: Ground
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request for a person's decision. Times in microseconds.

    `approvers` are people, teams already expanded; empty means whoever holds the role `approver`.
    `requester` started the run, "" when no person did. `revised_by` changed the arguments of the
    revision before, and may not approve this one where four eyes are asked for.
    """

    id: str
    action: str
    state: ApprovalState
    binding: Binding
    requested_at: int
    expires_at: int
    agent: str = ""
    approvers: tuple[str, ...] = ()
    requester: str = ""
    revised_by: str = ""
    revision_of: str = ""
    decided_by: str = ""
    decided_at: int = 0
    reason: str = ""
    arguments: Mapping[str, Json] | None = None


_DECIDED = {
    Act.APPROVE: ApprovalState.APPROVED,
    Act.MODIFY: ApprovalState.SUPERSEDED,
    Act.REJECT: ApprovalState.REJECTED,
}


def expired(approval: Approval, now: int) -> bool:
    """Whether its time has run out while nobody decided."""
    return approval.state is ApprovalState.PENDING and now >= approval.expires_at


def objection(
    approval: Approval, act: Act, person: Decider, *, reason: str, now: int, self_approval: bool = False
) -> Objection | None:
    """Say why `person` cannot do `act` now, or None when it counts.

    `self_approval` lets a requester decide on their own call; only the environment dev may set it.
    """
    return (
        _over(approval, now)
        or _not_theirs(approval, act, person, self_approval=self_approval)
        or _incomplete(act, reason)
    )


def _over(approval: Approval, now: int) -> Objection | None:
    if approval.state is not ApprovalState.PENDING:
        by = f" by {approval.decided_by}" if approval.decided_by else ""
        return Objection(
            ground=Ground.CONFLICT, message=f"This approval is already {approval.state.value}{by}."
        )
    if expired(approval, now):
        return Objection(ground=Ground.CONFLICT, message="This approval has expired; nobody decided in time.")
    return None


def _not_theirs(approval: Approval, act: Act, person: Decider, *, self_approval: bool) -> Objection | None:
    if approval.approvers and person.name not in approval.approvers:
        return _no(f"{person.name} is not among the approvers of this workflow.")
    if not approval.approvers and "approver" not in person.roles:
        return _no(f"{person.name} does not hold the role approver.")
    if act is Act.REJECT:
        return None
    if person.name == approval.agent:
        return _no("An agent never decides on its own call.")
    if person.name == approval.requester and not self_approval:
        return _no(f"{person.name} started the run that asks for this; another person decides.")
    if person.name == approval.revised_by:
        return _no(f"{person.name} changed these arguments; another person approves them.")
    return None


def _no(message: str) -> Objection:
    return Objection(ground=Ground.NOT_PERMITTED, message=message)


def _incomplete(act: Act, reason: str) -> Objection | None:
    if act is not Act.APPROVE and not reason.strip():
        return Objection(ground=Ground.INCOMPLETE, message=f"To {act.value} needs a reason.")
    return None


def decide(approval: Approval, act: Act, person: Decider, *, reason: str, now: int) -> Approval:
    """Return the approval as decided. Raises `ValueError` when it is already decided (single use)."""
    if approval.state is not ApprovalState.PENDING:
        raise ValueError(f"approval {approval.id} is {approval.state.value}")
    return replace(
        approval, state=_DECIDED[act], decided_by=person.name, decided_at=now, reason=reason.strip()
    )


def end(approval: Approval, state: ApprovalState, *, reason: str, now: int) -> Approval:
    """Return the approval as ended without a decision: expired, cancelled or superseded.

    Raises `ValueError` when it is already decided, or when `state` would be a decision.
    """
    if approval.state is not ApprovalState.PENDING:
        raise ValueError(f"approval {approval.id} is {approval.state.value}")
    if state not in (ApprovalState.EXPIRED, ApprovalState.CANCELLED, ApprovalState.SUPERSEDED):
        raise ValueError(f"{state.value} is a person's decision")
    return replace(approval, state=state, decided_at=now, reason=reason)


def revise(
    approval: Approval,
    *,
    id: str,
    action: str,
    binding: Binding,
    arguments: Mapping[str, Json],
    by: Decider,
    four_eyes: bool,
    now: int,
) -> Approval:
    """Return the next revision: other arguments, so another digest, and its own single decision.

    Without four eyes the person who changed it has thereby approved it; with them it waits for another.
    The time it may take does not start again. Raises `ValueError` when nothing was changed.
    """
    if binding.digest == approval.binding.digest:
        raise ValueError("the arguments are the same")
    return replace(
        approval,
        id=id,
        action=action,
        binding=binding,
        arguments=arguments,
        state=ApprovalState.PENDING if four_eyes else ApprovalState.APPROVED,
        requested_at=now,
        revised_by=by.name if four_eyes else "",
        revision_of=approval.id,
        decided_by="" if four_eyes else by.name,
        decided_at=0 if four_eyes else now,
        reason="",
    )


def stale(approval: Approval, binding: Binding) -> str | None:
    """Say what changed since this was asked, so that a decision on it no longer counts; None if nothing."""
    if approval.binding.digest != binding.digest:
        return "the arguments are others"
    if approval.binding.pin != binding.pin:
        return "the tool changed"
    if approval.binding.bundle != binding.bundle:
        return "the policy changed"
    return None


def people(names: Iterable[str], teams: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Expand teams to their members; keep the order, name nobody twice."""
    found: dict[str, None] = {}
    for name in names:
        found.update(dict.fromkeys(teams.get(name, (name,))))
    return tuple(found)
