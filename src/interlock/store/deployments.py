"""Deployments: which version of a workflow has been in force since when, and which were stable (E4)."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.core.bundle import Bundle
from interlock.core.deployment import Deployment
from interlock.errors import NotFound, StateConflict
from interlock.store import documents
from interlock.store.schema import deployments
from interlock.store.transaction import Transaction


def follow(transaction: Transaction, bundle: Bundle, *, version: int, by: str) -> None:
    """Register a deployment of each workflow whose version is another than the one deployed last."""
    for name, workflow in bundle.workflows.items():
        last = newest(transaction.connection, bundle.environment, name)
        if last is None or last.version != workflow.version:
            register(
                transaction, environment=bundle.environment, workflow=name, version=workflow.version,
                bundle=version, by=by,
            )  # fmt: skip


def register(
    transaction: Transaction,
    *,
    environment: str,
    workflow: str,
    version: int,
    bundle: int,
    by: str,
    code: str = "",
) -> Deployment:
    """Write a new deployment."""
    made = Deployment(
        id=transaction.ids.new("dep"),
        environment=environment,
        workflow=workflow,
        version=version,
        bundle=bundle,
        at=transaction.now,
        by=by,
        code=code,
    )
    transaction.execute(sa.insert(deployments).values(_row(made)))
    body = {"deployment": made.id, "version": version, "bundle": bundle, "code": code}
    transaction.audit("deployment.registered", workflow=workflow, person=by, body=body)
    return made


def call_stable(transaction: Transaction, deployment: Deployment, *, by: str, reason: str) -> Deployment:
    """Note that a person found a deployment stable. Raises `StateConflict` for one that was rolled back."""
    if deployment.withdrawn_at:
        raise StateConflict(f"{deployment.id} was rolled back; it is not stable.")
    transaction.execute(
        sa.update(deployments)
        .where(deployments.c.id == deployment.id)
        .values(stable_at=transaction.now, stable_by=by)
    )
    body = {"deployment": deployment.id, "reason": reason}
    transaction.audit("deployment.stable", workflow=deployment.workflow, person=by, body=body)
    return get(transaction.connection, deployment.id)


def withdraw(transaction: Transaction, deployment: Deployment) -> None:
    """Note that a deployment was rolled back: nobody goes back to it any more."""
    transaction.execute(
        sa.update(deployments)
        .where(deployments.c.id == deployment.id, deployments.c.withdrawn_at.is_(None))
        .values(withdrawn_at=transaction.now)
    )


def bring_back(transaction: Transaction, name: str, *, by: str) -> None:
    """Note that what is in force brought the deployment `name` back; it is as stable as that was.

    Where the version is the one that was withdrawn, only its program was another: it is deployed anew.
    """
    stable = get(transaction.connection, name)
    made = newest(transaction.connection, stable.environment, stable.workflow)
    if made is None or made.withdrawn_at:
        made = register(
            transaction,
            environment=stable.environment,
            workflow=stable.workflow,
            version=stable.version if made is None else made.version,
            bundle=documents.head_version(transaction.connection, stable.environment),
            by=by,
        )
    values = {"restores": stable.id, "code": stable.code, "stable_by": stable.stable_by}
    transaction.execute(
        sa.update(deployments)
        .where(deployments.c.id == made.id)
        .values(stable_at=transaction.now if stable.stable_at else None, **values)
    )


def get(connection: sa.Connection, name: str) -> Deployment:
    """Return a deployment. Raises `NotFound`."""
    row = connection.execute(sa.select(deployments).where(deployments.c.id == name)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no deployment {name}.", hint="interlock deployments list")
    return _deployment(row)


def newest(connection: sa.Connection, environment: str, workflow: str) -> Deployment | None:
    """Return what of a workflow was deployed last."""
    found = of_workflow(connection, environment, workflow, limit=1)
    return found[0] if found else None


def of_workflow(
    connection: sa.Connection, environment: str, workflow: str, *, limit: int = 1_000
) -> list[Deployment]:
    """Return the deployments of a workflow, newest first."""
    return listed(connection, environment, workflow=workflow, limit=limit)


def listed(
    connection: sa.Connection, environment: str, *, workflow: str = "", before: str = "", limit: int = 50
) -> list[Deployment]:
    """Return deployments, newest first; `before` is the id of the last one of the page before."""
    query = sa.select(deployments).where(deployments.c.environment == environment)
    query = query.where(deployments.c.workflow == workflow) if workflow else query
    query = query.where(deployments.c.id < before) if before else query
    rows = connection.execute(query.order_by(deployments.c.id.desc()).limit(limit)).mappings()
    return [_deployment(row) for row in rows]


def _row(each: Deployment) -> dict[str, object]:
    return {
        "id": each.id,
        "environment": each.environment,
        "workflow": each.workflow,
        "version": each.version,
        "bundle": each.bundle,
        "at": each.at,
        "by": each.by,
        "code": each.code,
        "restores": each.restores,
    }


def _deployment(found: sa.RowMapping) -> Deployment:
    return Deployment(
        id=found["id"],
        environment=found["environment"],
        workflow=found["workflow"],
        version=found["version"],
        bundle=found["bundle"],
        at=found["at"],
        by=found["by"],
        code=found["code"],
        restores=found["restores"],
        stable_at=found["stable_at"] or 0,
        stable_by=found["stable_by"],
        withdrawn_at=found["withdrawn_at"] or 0,
    )
