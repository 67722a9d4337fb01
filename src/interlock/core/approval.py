"""A request for a person's decision: what the decision is bound to, what it is worth, and for how long.

A decision is bound to the argument digest, the tool's pin and the policy bundle, is used once, and ends.
Where two people must agree, the first yes is a vote and the second decides; any no decides. Changing the
arguments makes a new revision with a new digest; the old one is superseded, and its votes with it. Running
out of time is told apart from a refusal (F2, F4, invariant 6). Who may decide is the rule of `objection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from interlock.core.model import AtEnd, Json
from interlock.core.routing import Stage, deciders

NEVER = 1 << 53
"""When a request ends that is parked: later than any clock, and exact in every program that reads JSON."""


class ApprovalState(StrEnum):
    """Where a request for approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class Kind(StrEnum):
    """What a person is asked for: a yes, an answer in words, or a value that fits a schema."""

    APPROVE = "approve"
    ANSWER = "answer"
    INPUT = "input"

    @property
    def question(self) -> bool:
        """Whether it is answered, not approved: nothing happens but that the agent reads the answer."""
        return self is not Kind.APPROVE


class Act(StrEnum):
    """What a person can do with it."""

    APPROVE = "approve"
    MODIFY = "modify"
    REJECT = "reject"
    ANSWER = "answer"


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
class Vote:
    """One person's yes, where it takes two."""

    person: str
    at: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request for a person's decision. Times in microseconds.

    `stages` is its route and `level` the stage that has begun, at `level_at`; each has `sla` to decide and is
    reminded after the share `reminder` of it (basis points). `approvers` may decide now: the people of the
    stages that have begun; without stages and approvers, whoever holds the role `approver`. `needs` so many
    different people, of whom `votes` have agreed. `requester` started the run, "" when no person did.
    `revised_by` changed the arguments of the revision before, and may not approve this one where four eyes
    are asked for.
    """

    id: str
    action: str
    state: ApprovalState
    binding: Binding
    requested_at: int
    expires_at: int
    agent: str = ""
    approvers: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    level: int = 0
    level_at: int = 0
    sla: int = 0
    reminder: int = 0
    at_end: AtEnd = AtEnd.EXPIRE
    needs: int = 1
    votes: tuple[Vote, ...] = ()
    requester: str = ""
    revised_by: str = ""
    revision_of: str = ""
    decided_by: str = ""
    decided_at: int = 0
    reason: str = ""
    arguments: Mapping[str, Json] | None = None
    kind: Kind = Kind.APPROVE
    answer: Json = None

    @property
    def stage(self) -> str:
        """The name of the stage that has begun; "" where a role decides."""
        return self.stages[self.level].name if self.stages else ""

    @property
    def of_server(self) -> bool:
        """Whether a tool server asks for it during the call: `arguments` are its words and its form."""
        return self.kind is Kind.INPUT and self.arguments is not None

    @property
    def excluded(self) -> frozenset[str]:
        """Who never lets this call pass: the agent, who asked for it, and who changed its arguments.

        Who started the run may well answer its questions, but not those of a tool server.
        """
        if self.kind.question and not self.of_server:
            return frozenset({self.agent})
        return frozenset({self.agent, self.requester, self.revised_by} - {""})


_DECIDED = {
    Act.APPROVE: ApprovalState.APPROVED,
    Act.MODIFY: ApprovalState.SUPERSEDED,
    Act.REJECT: ApprovalState.REJECTED,
    Act.ANSWER: ApprovalState.APPROVED,
}


def expired(approval: Approval, now: int) -> bool:
    """Whether its time has run out while nobody decided."""
    return approval.state is ApprovalState.PENDING and now >= approval.expires_at


def missing_votes(approval: Approval) -> int:
    """Return how many more people must agree before the call may pass."""
    return approval.needs - len(approval.votes)


def vote(approval: Approval, person: Decider, *, reason: str, now: int) -> Approval:
    """Return the approval with one more yes that decides nothing yet. Raises `ValueError` where it would."""
    _pending(approval)
    if missing_votes(approval) < 2:
        raise ValueError(f"one yes decides approval {approval.id}")
    given = Vote(person=person.name, at=now, reason=reason.strip())
    return replace(approval, votes=(*approval.votes, given))


def decide(approval: Approval, act: Act, person: Decider, *, reason: str, now: int) -> Approval:
    """Return the approval as decided. Raises `ValueError` when it is already decided (single use).

    Where it takes two to approve, the yes of another person must be there.
    """
    _pending(approval)
    if act is Act.APPROVE and missing_votes(approval) > 1:
        raise ValueError(f"one yes does not decide approval {approval.id}")
    return replace(
        approval, state=_DECIDED[act], decided_by=person.name, decided_at=now, reason=reason.strip()
    )


def answered(approval: Approval, person: Decider, value: Json, *, reason: str, now: int) -> Approval:
    """Return the question with a person's answer. Raises `ValueError` when it is over already."""
    return replace(decide(approval, Act.ANSWER, person, reason=reason, now=now), answer=value)


def climb(approval: Approval, level: int, *, now: int) -> Approval:
    """Return the request with the stage `level` begun: its people may decide now, as may the others."""
    _pending(approval)
    return replace(approval, level=level, level_at=now, approvers=deciders(approval.stages, level))


def end(approval: Approval, state: ApprovalState, *, reason: str, now: int) -> Approval:
    """Return the approval as ended without a decision: expired, cancelled or superseded.

    Raises `ValueError` when it is already decided, or when `state` would be a decision.
    """
    _pending(approval)
    if state not in (ApprovalState.EXPIRED, ApprovalState.CANCELLED, ApprovalState.SUPERSEDED):
        raise ValueError(f"{state.value} is a person's decision")
    return replace(approval, state=state, decided_at=now, reason=reason)


def _pending(approval: Approval) -> None:
    if approval.state is not ApprovalState.PENDING:
        raise ValueError(f"approval {approval.id} is {approval.state.value}")


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
    needs: int = 1,
) -> Approval:
    """Return the next revision: other arguments, so another digest, and its own single decision.

    Without four eyes the person who changed it has thereby approved it. With them, or where the call `needs`
    two people, it waits for others, and whoever changed it is none of them. Nobody has agreed to it yet. The
    time it may take does not start again. Raises `ValueError` when nothing was changed.
    """
    if binding.digest == approval.binding.digest:
        raise ValueError("the arguments are the same")
    waits = four_eyes or needs > 1
    return replace(
        approval,
        id=id,
        action=action,
        binding=binding,
        arguments=arguments,
        state=ApprovalState.PENDING if waits else ApprovalState.APPROVED,
        requested_at=now,
        level_at=now,
        needs=needs,
        votes=(),
        revised_by=by.name if waits else "",
        revision_of=approval.id,
        decided_by="" if waits else by.name,
        decided_at=0 if waits else now,
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
