"""Putting a bundle in force: documents, accounts, identities and waiting changes move in one commit.

The new bundle reaches memory only as an effect of that commit, so a bundle that was not written is never
decided on, and one that does not compile never gets here. Functions never commit.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.core.bundle import Bundle
from interlock.core.document.identity import Agent, Person
from interlock.core.document.runbook import Runbook
from interlock.errors import SnapshotMoved
from interlock.store import agents, changes, deployments, documents, people, runbooks
from interlock.store.documents import Name
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.transaction import Transaction


def put_in_force(
    transaction: Transaction,
    memory: Memory,
    bundle: Bundle,
    versions: Mapping[Name, int],
    *,
    base: int,
    by: str,
) -> int:
    """Write `bundle` as the next version after `base`; memory follows when this is committed.

    Raises `SnapshotMoved` when another version than `base` is in force, `StateConflict` when a retired
    agent is declared again.
    """
    _expect(transaction, bundle.environment, base)
    people.declare(transaction, (each for each in bundle.documents if isinstance(each, Person)))
    agents.declare(transaction, (each for each in bundle.documents if isinstance(each, Agent)))
    runbooks.declare(
        transaction, bundle.environment, (each for each in bundle.documents if isinstance(each, Runbook))
    )
    version = documents.put(
        transaction, bundle.environment, bundle.documents, versions=versions, digest=bundle.digest, by=by
    )
    deployments.follow(transaction, bundle, version=version, by=by)
    changes.supersede(transaction, by=by, reason=f"version {version} was applied")

    transaction.tell(Topic.BUNDLE, str(version), environment=bundle.environment)
    transaction.on_commit(lambda: memory.put_bundle(bundle, version=version))
    return version


def _expect(transaction: Transaction, environment: str, base: int) -> None:
    if documents.head_version(transaction.connection, environment) != base:
        raise SnapshotMoved("Another manifest was applied meanwhile.", hint="Plan and apply again.")
