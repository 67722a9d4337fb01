"""Who is told what became of actions: the program that a workflow declares, in the commit of the move (E1).

The delivery is a row of that commit and names the move, so nothing is told that did not happen and nothing
happens that is not told. Functions never commit.
"""

from __future__ import annotations

import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.outcome import Outcome, is_told
from interlock.core.recipient import WEBHOOK, Address
from interlock.errors import NotFound
from interlock.store import actions, deliveries
from interlock.store.deliveries import About, Delivery
from interlock.store.memory import Memory
from interlock.store.schema import action_moves
from interlock.store.transaction import Transaction


class Outcomes:
    """Follows the moves of actions for one process."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def follow(self, transaction: Transaction, was: Action | None, now: Action) -> None:
        """Have it told where an action has come to, if its workflow says where."""
        del was
        to = receiver(self._memory, now.workflow)
        if to is not None and is_told(now):
            deliveries.enqueue_outcome(transaction, self._memory.environment, now.id, now.fence, to)


def receiver(memory: Memory, workflow: str) -> Address | None:
    """Return where the outcomes of a workflow are told, as the manifest in force says; None for nowhere."""
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(workflow)
    webhook = None if compiled is None else compiled.document.webhook
    if webhook is None:
        return None
    return Address(name=workflow, channel=WEBHOOK, target=webhook.url, key=webhook.key or "")


def of(connection: sa.Connection, delivery: Delivery, *, url: str) -> Outcome:
    """Return the outcome that a delivery tells; `url` is where the API is reached. Raises `NotFound`."""
    if delivery.about is not About.OUTCOME or delivery.action is None or delivery.move is None:
        raise NotFound(
            f"{delivery.id} tells of no outcome of an action.", hint="interlock actions deliveries"
        )
    action = actions.get(connection, delivery.action)
    row = connection.execute(
        sa.select(action_moves).where(action_moves.c.action == action.id, action_moves.c.seq == delivery.move)
    ).one()
    return Outcome(
        action=action,
        environment=delivery.environment,
        seq=row.seq,
        state=ActionState(row.to_state),
        was=row.from_state or "",
        at=row.at,
        link=f"{url}/api/v1/actions/{action.id}/outcome",
    )
