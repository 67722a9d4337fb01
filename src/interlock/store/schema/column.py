"""The columns that our tables are made of: a key, a time, a missing value read the same everywhere."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()

Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def key(name: str) -> sa.Column[str]:
    """Return a text column of the primary key."""
    return sa.Column(name, sa.Text, primary_key=True)


def text(name: str, default: str | None = None) -> sa.Column[str]:
    """Return a text that is always there."""
    server = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.Text, nullable=False, server_default=server)


def maybe(name: str) -> sa.Column[str | None]:
    """Return a text that may be missing."""
    return sa.Column(name, sa.Text, nullable=True)


def number(name: str, default: int | None = None, *, primary: bool = False) -> sa.Column[int]:
    """Return a whole number that is always there."""
    server = None if default is None else sa.text(str(default))
    return sa.Column(
        name, sa.BigInteger, primary_key=primary, nullable=False, server_default=server, autoincrement=False
    )


def at(name: str) -> sa.Column[int]:
    """Return a time, in microseconds."""
    return sa.Column(name, sa.BigInteger, nullable=False)


def maybe_at(name: str) -> sa.Column[int | None]:
    """Return a time that may not have come yet, in microseconds."""
    return sa.Column(name, sa.BigInteger, nullable=True)


def of(name: str, target: str, *, primary: bool = False) -> sa.Column[str]:
    """Return a reference to `target`, as `table.column`."""
    return sa.Column(name, sa.Text, sa.ForeignKey(target), primary_key=primary, nullable=False)


def table(name: str, *parts: Any) -> sa.Table:
    """Return a table."""
    return sa.Table(name, metadata, *parts)


def clustered(name: str, *parts: Any) -> sa.Table:
    """Return a table that SQLite keeps in the order of its key: one page less to write for each row."""
    return sa.Table(name, metadata, *parts, sqlite_with_rowid=False)


def said(*columns: str) -> list[sa.CheckConstraint]:
    """Return the constraints on what must say something: a blank does not count."""
    return [sa.CheckConstraint(f"trim({column}) <> ''") for column in columns]
