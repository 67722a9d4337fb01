"""Requests for a decision, and people who decide, as unit tests use them."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.approval import Act, Approval, ApprovalState, Binding, Decider
from interlock.core.objection import Ground, objection
from interlock.core.routing import Stage

DECISIONS = (Act.APPROVE, Act.MODIFY, Act.REJECT)
BINDING = Binding(digest="d1", pin="p1", bundle="b1")
ANN = Decider(name="ann")
BOB = Decider(name="bob")
EVE = Decider(name="eve", roles=frozenset({"approver"}))


def an_approval(**changes: object) -> Approval:
    usual = Approval(
        id="apr_1",
        action="act_1",
        state=ApprovalState.PENDING,
        binding=BINDING,
        requested_at=100,
        expires_at=200,
        agent="bot",
        approvers=("ann", "bob", "bot"),
        requester="ann",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


STAGES = (
    Stage(name="approvers", names=("ann", "bob"), people=("ann", "bob")),
    Stage(name="fallback", names=("desk",), people=("eve", "bob")),
)


def routed(**changes: object) -> Approval:
    return an_approval(**{"stages": STAGES, "approvers": ("ann", "bob"), "requester": ""} | changes)


def grounds(approval: Approval, act: Act, person: Decider, **more: object) -> Ground | None:
    said = objection(
        approval, act, person, reason=str(more.get("reason", "because")), now=int(str(more.get("now", 150))),
        self_approval=bool(more.get("self_approval")),
    )  # fmt: skip
    return said.ground if said else None
