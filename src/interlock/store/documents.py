"""The documents in force and every bundle that was: who applied it and when. Functions never commit.

A bundle row holds all its documents, so that any version can be read again; a document row holds the last
version of one document, kept after removal so that a number is never used twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.document.kind import KINDS, AnyDocument, key
from interlock.core.version import contents
from interlock.errors import StoreError
from interlock.store.schema import bundles, documents, heads
from interlock.store.transaction import Transaction

Name = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One bundle as it was applied. `version` counts applies, `versions` numbers its documents."""

    version: int
    digest: str
    documents: tuple[AnyDocument, ...]
    versions: Mapping[Name, int]
    applied_at: int
    applied_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBundle:
    """When a bundle was applied, by whom."""

    version: int
    digest: str
    applied_at: int
    applied_by: str


def encode(declared: Iterable[AnyDocument], versions: Mapping[Name, int] | None = None) -> str:
    """Return documents as JSON text."""
    known = versions or {}
    items = [
        {"kind": key(each)[0], "version": known.get(key(each)[:2], 0), "document": each} for each in declared
    ]
    return msgspec.json.encode(items).decode()


def decode(body: str) -> tuple[tuple[AnyDocument, ...], dict[Name, int]]:
    """Return the documents of JSON text and their versions. Raises `StoreError` when it does not read."""
    try:
        items: list[dict[str, Any]] = msgspec.json.decode(body)
        pairs = [(_document(item), int(item["version"])) for item in items]
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            "The documents in the store cannot be read by this version.", hint="Apply the manifest again."
        ) from error
    return tuple(each for each, _ in pairs), {key(each)[:2]: version for each, version in pairs}


def _document(item: Mapping[str, Any]) -> AnyDocument:
    return msgspec.convert(item["document"], KINDS[item["kind"]])


def head_version(connection: sa.Connection, environment: str) -> int:
    """Return the version of the bundle in force, 0 when nothing was applied."""
    found = connection.execute(sa.select(heads.c.bundle_version).where(heads.c.environment == environment))
    return int(found.scalar_one_or_none() or 0)


def in_force(connection: sa.Connection, environment: str) -> InForce | None:
    """Return what is in force, or None when nothing was applied."""
    row = connection.execute(
        sa.select(bundles)
        .join(heads, heads.c.bundle_version == bundles.c.version)
        .where(heads.c.environment == environment, bundles.c.environment == environment)
    ).one_or_none()
    if row is None:
        return None
    declared, versions = decode(row.body)
    return InForce(
        version=row.version,
        digest=row.digest,
        documents=declared,
        versions=versions,
        applied_at=row.applied_at,
        applied_by=row.applied_by,
    )


def as_applied(connection: sa.Connection, environment: str, version: int) -> tuple[AnyDocument, ...]:
    """Return the documents of the bundle `version`, as they were applied; none where there was no such."""
    here = sa.and_(bundles.c.environment == environment, bundles.c.version == version)
    body = connection.execute(sa.select(bundles.c.body).where(here)).scalar_one_or_none()
    return () if body is None else decode(body)[0]


def last_versions(connection: sa.Connection) -> dict[Name, tuple[int, str]]:
    """Return the last version and content digest of every document there ever was."""
    rows = connection.execute(sa.select(documents))
    return {(row.kind, row.name): (row.version, row.digest) for row in rows}


def history(
    connection: sa.Connection, environment: str, *, before: int | None = None, limit: int = 50
) -> list[AppliedBundle]:
    """Return what was applied, newest first; only what came before the version `before` where it is given."""
    query = (
        sa.select(bundles.c.version, bundles.c.digest, bundles.c.applied_at, bundles.c.applied_by)
        .where(bundles.c.environment == environment)
        .order_by(bundles.c.version.desc())
        .limit(limit)
    )
    rows = connection.execute(query if before is None else query.where(bundles.c.version < before))
    return [
        AppliedBundle(
            version=row.version, digest=row.digest, applied_at=row.applied_at, applied_by=row.applied_by
        )
        for row in rows
    ]


def put(
    transaction: Transaction,
    environment: str,
    declared: tuple[AnyDocument, ...],
    *,
    versions: Mapping[Name, int],
    digest: str,
    by: str,
) -> int:
    """Put documents in force as the next bundle; return its version."""
    previous = head_version(transaction.connection, environment)
    version = previous + 1
    stamp = {"applied_at": transaction.now, "applied_by": by}
    transaction.execute(
        sa.insert(bundles).values(
            version=version, environment=environment, digest=digest, body=encode(declared, versions), **stamp
        )
    )
    _move_head(transaction, environment, version, digest, first=previous == 0)
    _record(transaction, declared, versions, stamp)
    return version


def _move_head(transaction: Transaction, environment: str, version: int, digest: str, *, first: bool) -> None:
    values: dict[str, Any] = {"bundle_version": version, "bundle_digest": digest}
    if first:
        transaction.execute(sa.insert(heads).values(environment=environment, **values))
    else:
        transaction.execute(sa.update(heads).where(heads.c.environment == environment).values(values))


def _record(
    transaction: Transaction,
    declared: tuple[AnyDocument, ...],
    versions: Mapping[Name, int],
    stamp: Mapping[str, Any],
) -> None:
    known = last_versions(transaction.connection)
    content = contents(declared)
    for each in declared:
        kind, name, _ = key(each)
        if known.get((kind, name)) == (versions[kind, name], content[kind, name]):
            continue
        values = {
            "version": versions[kind, name],
            "body": encode([each]),
            "digest": content[kind, name],
            **stamp,
        }
        if (kind, name) in known:
            here = sa.and_(documents.c.kind == kind, documents.c.name == name)
            transaction.execute(sa.update(documents).where(here).values(values))
        else:
            transaction.execute(sa.insert(documents).values(kind=kind, name=name, environment="", **values))
