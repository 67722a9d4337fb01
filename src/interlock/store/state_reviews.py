"""Reviews of what a withdrawn version did: a person decides each of its actions, or the review stays open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.action import Action
from interlock.errors import NotFound
from interlock.store.action_rows import action_of
from interlock.store.actions import record
from interlock.store.run_rows import RunState
from interlock.store.schema import actions, deployments, rollback_plans, runs, state_decisions, state_reviews
from interlock.store.transaction import Transaction

MOST = 5_000
"""Actions that one review shows at the most; what is beyond stays undecided, so the review stays open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReview:
    """One review, of what `workflow` did since `since` (microseconds); `owner` answers for it."""

    id: str
    environment: str
    workflow: str
    deployment: str
    since: int
    owner: str
    reason: str
    opened_at: int
    opened_by: str
    closed_at: int | None = None
    closed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDecision:
    """What a person decided about one action: `undo` or `keep`."""

    action: str
    decision: str
    person: str
    reason: str
    at: int


def open_review(
    transaction: Transaction,
    *,
    environment: str,
    workflow: str,
    deployment: str,
    since: int,
    owner: str,
    person: str,
    reason: str,
) -> StateReview:
    """Open a review."""
    review = StateReview(
        id=transaction.ids.new("rev"),
        environment=environment,
        workflow=workflow,
        deployment=deployment,
        since=since,
        owner=owner,
        reason=reason,
        opened_at=transaction.now,
        opened_by=person,
    )
    values = {name: getattr(review, name) for name in review.__slots__}
    transaction.execute(sa.insert(state_reviews).values(values))
    return review


def close(transaction: Transaction, review: StateReview, *, by: str) -> None:
    """Close a review of which everything is decided."""
    transaction.execute(
        sa.update(state_reviews)
        .where(state_reviews.c.id == review.id, state_reviews.c.closed_at.is_(None))
        .values(closed_at=transaction.now, closed_by=by)
    )
    body = {"review": review.id, "deployment": review.deployment}
    transaction.audit("rollback.review_closed", workflow=review.workflow, person=by, body=body)


def decide(
    transaction: Transaction, review: StateReview, action: Action, *, decision: str, person: str, reason: str
) -> None:
    """Write what a person decided about one action; a later word takes the place of an earlier."""
    here = sa.and_(state_decisions.c.review == review.id, state_decisions.c.action == action.id)
    transaction.execute(sa.delete(state_decisions).where(here))
    values = {"review": review.id, "action": action.id, "decision": decision, "person": person}
    transaction.execute(sa.insert(state_decisions).values(**values, reason=reason, at=transaction.now))
    body = {"review": review.id, "decision": decision, "reason": reason}
    record(transaction, "rollback.decided", action, body=body, person=person)


def keep_plan(
    transaction: Transaction,
    review: StateReview,
    *,
    digest: str,
    body: str,
    signature: str,
    kid: str,
    person: str,
) -> None:
    """Keep a plan of undos as it was confirmed, with the signature over its hash."""
    values = {"id": transaction.ids.new("pln"), "review": review.id, "digest": digest, "body": body}
    stamp = {"signature": signature, "kid": kid, "person": person, "at": transaction.now}
    transaction.execute(sa.insert(rollback_plans).values(**values, **stamp))
    said = {"review": review.id, "plan": digest, "kid": kid}
    transaction.audit("rollback.planned", workflow=review.workflow, person=person, body=said)


def get(connection: sa.Connection, name: str) -> StateReview:
    """Return a review. Raises `NotFound`."""
    row = (
        connection.execute(sa.select(state_reviews).where(state_reviews.c.id == name))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFound(f"There is no state review {name}.", hint="interlock rollback list")
    return StateReview(**row)


def listed(
    connection: sa.Connection, environment: str, *, closed: bool = False, before: str = "", limit: int = 50
) -> list[StateReview]:
    """Return reviews, newest first; closed ones too where asked."""
    query = sa.select(state_reviews).where(state_reviews.c.environment == environment)
    query = query if closed else query.where(state_reviews.c.closed_at.is_(None))
    query = query.where(state_reviews.c.id < before) if before else query
    rows = connection.execute(query.order_by(state_reviews.c.id.desc()).limit(limit)).mappings()
    return [StateReview(**row) for row in rows]


def decisions(connection: sa.Connection, review: str) -> dict[str, StateDecision]:
    """Return what was decided, by action."""
    query = sa.select(state_decisions).where(state_decisions.c.review == review)
    rows = connection.execute(query).mappings()
    return {
        row["action"]: StateDecision(
            action=row["action"], decision=row["decision"], person=row["person"], reason=row["reason"],
            at=row["at"],
        )
        for row in rows
    }  # fmt: skip


def in_question(connection: sa.Connection, review: StateReview) -> list[Action]:
    """Return the actions of the workflow since the review's time, oldest first; undos are none of them.

    Nor is what runs do that began under the deployment that was brought back.
    """
    query = sa.select(actions).where(
        actions.c.workflow == review.workflow,
        actions.c.created_at >= review.since,
        actions.c.comp_of.is_(None),
    )
    until = _restored_at(connection, review)
    if until is not None:
        query = query.join(runs, runs.c.id == actions.c.run).where(runs.c.opened_at < until)
    rows = connection.execute(query.order_by(actions.c.id).limit(MOST)).mappings()
    return [action_of(row) for row in rows]


def still_open(connection: sa.Connection, review: StateReview) -> list[str]:
    """Return the open runs of the workflow that can add to the review, oldest first; see `in_question`."""
    query = sa.select(runs.c.id).where(
        runs.c.workflow == review.workflow,
        runs.c.environment == review.environment,
        runs.c.state == RunState.OPEN.value,
    )
    until = _restored_at(connection, review)
    if until is not None:
        query = query.where(runs.c.opened_at < until)
    return list(connection.execute(query.order_by(runs.c.id).limit(MOST)).scalars())


def _restored_at(connection: sa.Connection, review: StateReview) -> int | None:
    """Return when a stable deployment was brought back after the review was opened, None before that."""
    query = sa.select(sa.func.min(deployments.c.at)).where(
        deployments.c.environment == review.environment,
        deployments.c.workflow == review.workflow,
        deployments.c.at >= review.opened_at,
        deployments.c.restores != "",
    )
    return connection.execute(query).scalar()


def since(connection: sa.Connection, review: StateReview, servers: Sequence[str]) -> list[Action]:
    """Return what anybody did on these servers since the review's time: it may have built on it."""
    if not servers:
        return []
    named = sa.or_(*(actions.c.tool.startswith(f"{server}.", autoescape=True) for server in servers))
    query = sa.select(actions).where(actions.c.created_at >= review.since, named)
    return [action_of(row) for row in connection.execute(query.order_by(actions.c.id).limit(MOST)).mappings()]
