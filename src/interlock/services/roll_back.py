"""Roll a workflow's code back to the last version that was stable, and open the review of its state (E4).

The review is on disk before the code moves: what the withdrawn version did is decided by a person, action by
action, whatever becomes of the process. To contain acts at once: the deployment is withdrawn, and what the
older version may do less holds. To restore waits: what it may do more needs a second person like every
widening, and the deployment that follows their agreement names what it restores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.deployment import Deployment, last_stable, swapped
from interlock.core.document.kind import AnyDocument
from interlock.errors import NotFound, StateConflict, UsageError
from interlock.store import deployments, documents, state_reviews
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.state_reviews import StateReview


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What became of the documents: in force, or waiting as `change` for one of `waits_for`.

    `narrowed`: what they allow less holds already.
    """

    change: str = ""
    waits_for: tuple[str, ...] = ()
    narrowed: bool = False

    @property
    def acts(self) -> bool:
        """Whether they are in force."""
        return not self.change


Put = Callable[[tuple[AnyDocument, ...], str], Awaitable[Placed]]
"""Applies documents that bring a deployment back, named by its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """What was withdrawn, what is gone back to, how far that is, and the review that was opened."""

    withdrawn: Deployment
    stable: Deployment
    placed: Placed
    review: StateReview


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    current: Deployment
    stable: Deployment
    documents: tuple[AnyDocument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """Roll back code; `put` applies a manifest in the name of the person who asked."""

    store: Store
    memory: Memory
    put: Put

    async def code(self, workflow: str, *, to: str = "", person: str, reason: str) -> RolledBack:
        """Go back to the deployment `to`, or to the last stable one.

        Raises `NotFound`, `StateConflict` where there is nothing to go back to, `UsageError` with no reason.
        """
        if not reason.strip():
            raise UsageError("A rollback needs a reason.", hint="Add --reason.")
        way = await self.store.read(lambda connection: self._way(connection, workflow, to))
        review = await self.store.transact(lambda each: self._open(each, way, person, reason.strip()))
        placed = await self.put(way.documents, way.stable.id)
        if placed.acts:
            await self.store.transact(lambda each: deployments.bring_back(each, way.stable.id, by=person))
        gone = await self.store.read(lambda connection: deployments.get(connection, way.current.id))
        return RolledBack(withdrawn=gone, stable=way.stable, placed=placed, review=review)

    def _way(self, connection: sa.Connection, workflow: str, to: str) -> _Way:
        environment = self.memory.environment
        known = deployments.of_workflow(connection, environment, workflow)
        if not known:
            raise NotFound(f"No version of {workflow!r} was ever deployed here.", hint="interlock runs list")
        current = known[0]
        stable = self._stable(known, current, to)
        now = documents.in_force(connection, environment)
        old = documents.as_applied(connection, environment, stable.bundle)
        back = swapped(now.documents if now else (), old, workflow)
        if back is None:
            raise NotFound(f"The manifest of {stable.id} is not kept any more.")
        return _Way(current=current, stable=stable, documents=back)

    def _stable(self, known: list[Deployment], current: Deployment, to: str) -> Deployment:
        if not to:
            stable = last_stable(known, current)
            if stable is None:
                raise StateConflict(
                    f"No earlier deployment of {current.workflow!r} was called stable.",
                    hint="Name one with --to; interlock deployments list, interlock deployments stable.",
                )
            return stable
        chosen = next((each for each in known if each.id == to), None)
        if chosen is None:
            raise NotFound(f"{current.workflow!r} has no deployment {to}.", hint="interlock deployments list")
        if chosen.withdrawn_at or chosen.id == current.id:
            raise StateConflict(f"{to} was rolled back itself, or is what runs now.")
        return chosen

    def _open(self, transaction: Transaction, way: _Way, person: str, reason: str) -> StateReview:
        bundle, current = self.memory.bundle, way.current
        compiled = None if bundle is None else bundle.workflows.get(current.workflow)
        review = state_reviews.open_review(
            transaction,
            environment=self.memory.environment,
            workflow=current.workflow,
            deployment=current.id,
            since=self._since(transaction.connection, way),
            owner=person if compiled is None else compiled.document.owner,
            person=person,
            reason=reason,
        )
        deployments.withdraw(transaction, current)
        body = {"withdrawn": current.id, "to": way.stable.id, "review": review.id, "reason": reason}
        transaction.audit("rollback.code", workflow=current.workflow, person=person, body=body)
        return review

    def _since(self, connection: sa.Connection, way: _Way) -> int:
        """Return when the first deployment after the stable one began: what followed is in question."""
        known = deployments.of_workflow(connection, self.memory.environment, way.current.workflow)
        return min(each.at for each in known if each.at >= way.stable.at and each.id != way.stable.id)
