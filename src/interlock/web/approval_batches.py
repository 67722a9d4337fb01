"""Equal requests together, and many decisions in one request: each with its own commit and audit entry.

A decision names the digest of the arguments that the person was shown; nothing else is decided by it.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.action import Action
from interlock.core.approval import Approval, ApprovalState
from interlock.core.batch import Batch, batches
from interlock.core.model import Json
from interlock.errors import InterlockError, UsageError
from interlock.store import actions, approvals
from interlock.web.approval_view import approved, decider, may_see, plain, use
from interlock.web.auth import Person, in_their_own_name, person_of
from interlock.web.body import Reason, read_body
from interlock.web.page import list_response
from interlock.wiring import Wired

_MOST = 100
_WAITING = 500


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request, and the digest of the arguments that were shown."""

    id: str
    digest: str


class DecisionsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same decision on each of these; a reason is needed to reject."""

    act: Literal["approve", "reject"]
    items: list[Item]
    reason: Reason = ""


async def digest(request: Request) -> Response:
    """List what waits for this person, equal requests together: the largest group first."""
    person = await person_of(request)
    wired: Wired = request.app.state.wired

    def found(connection: sa.Connection) -> list[tuple[Approval, Action]]:
        every = approvals.listed(connection, state=ApprovalState.PENDING, limit=_WAITING)
        return [(each, actions.get(connection, each.action)) for each in reversed(every)]

    pairs = [pair for pair in await wired.store.read(found) if _theirs(person, pair[0])]
    return list_response(_group(each) for each in batches((pair, pair[1]) for pair in pairs))


async def decide(request: Request) -> Response:
    """Decide each of these requests; what does not count is told beside its id and changes nothing."""
    person = await person_of(request)
    in_their_own_name(person, "approver")
    wired: Wired = request.app.state.wired
    body = await read_body(request, DecisionsBody)
    if not 0 < len(body.items) <= _MOST:
        raise UsageError(f"items holds 1 to {_MOST} requests.")
    told = [await _one(wired, person, body, each) for each in body.items]
    return list_response(told)


async def _one(wired: Wired, person: Person, body: DecisionsBody, item: Item) -> dict[str, Json]:
    people, who = use(wired), decider(person)
    try:
        if body.act == "approve":
            done = await people.approve(item.id, who, reason=body.reason, shown=item.digest)
        else:
            done = await people.reject(item.id, who, reason=body.reason, shown=item.digest)
    except InterlockError as error:
        return {"id": item.id, "approval": None, "error": {"code": error.code, "message": error.message}}
    wired.calls.decided(done.action)
    return {"id": item.id, "approval": await approved(wired, done), "error": None}


def _theirs(person: Person, approval: Approval) -> bool:
    """Whether a person is shown a request to decide it: one that they may see, and have not agreed to yet.

    What a tool server asks is not one of many equal requests: it is read and answered alone.
    """
    return (
        not approval.of_server
        and may_see(person, approval)
        and all(each.person != person.name for each in approval.votes)
    )


def _group(batch: Batch[tuple[Approval, Action]]) -> dict[str, Json]:
    like = batch.likeness
    return {
        "tool": like.tool,
        "workflow": like.workflow,
        "tier": like.tier,
        "reasons": list(like.reasons),
        "oldest": batch.items[0][0].requested_at,
        "items": [_item(*each) for each in batch.items],
    }


def _item(approval: Approval, action: Action) -> dict[str, Json]:
    return {
        **plain(approval),
        "digest": approval.binding.digest,
        "agent": action.agent,
        "run": action.run,
        "arguments": dict(action.arguments),
    }


routes = [
    Route("/api/v1/approvals/digest", digest),
    Route("/api/v1/approvals/decisions", decide, methods=["POST"]),
]
