"""Numbered SQL brings a database to the schema of this program; a newer database is refused.

`NNNN_pre_name.sql` runs before the new program serves, `NNNN_post_name.sql` once no old one is left. A
dialect suffix (`.sqlite.sql`, `.postgresql.sql`) holds only what the two databases say differently.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.resources import files

import sqlalchemy as sa

from interlock.errors import StoreUnavailable

_NAME = re.compile(r"(\d{4})_(pre|post)_(\w+?)(?:\.(sqlite|postgresql))?\.sql")
_TABLE = """CREATE TABLE IF NOT EXISTS migrations (
    number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"""
BOTH = frozenset({"pre", "post"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step: its number, phase and name, and its statements for one dialect."""

    number: int
    phase: str
    name: str
    statements: tuple[str, ...]


def migrate(connection: sa.Connection, *, now: int, phases: Collection[str] = BOTH) -> list[str]:
    """Run what is missing, inside the caller's transaction; return the names of what ran.

    Raises `StoreUnavailable` when the database was written by a newer program.
    """
    connection.exec_driver_sql(_TABLE)
    done = set(connection.execute(sa.text("SELECT number FROM migrations")).scalars())
    known = known_migrations(connection.dialect.name)
    newest = max((each.number for each in known), default=0)
    if done and max(done) > newest:
        raise StoreUnavailable(
            f"A newer Interlock wrote this database (schema {max(done)}; this program knows {newest}).",
            hint="Upgrade this program, or restore a backup made before the upgrade.",
        )
    missing = [each for each in known if each.number not in done and each.phase in phases]
    for each in missing:
        for statement in each.statements:
            connection.exec_driver_sql(statement)
        values = {"number": each.number, "name": each.name, "at": now}
        connection.execute(sa.text("INSERT INTO migrations VALUES (:number, :name, :at)"), values)
    return [each.name for each in missing]


def known_migrations(dialect: str) -> list[Migration]:
    """Return this program's migrations for one dialect, in order."""
    found: dict[int, Migration] = {}
    for match, text in sorted(_sources(), key=lambda each: (each[0][1], each[0][4] or "")):
        if match[4] not in (None, dialect):
            continue
        number = int(match[1])
        earlier = found[number].statements if number in found else ()
        found[number] = Migration(
            number=number, phase=match[2], name=match[3], statements=(*earlier, *_statements(text))
        )
    return [found[number] for number in sorted(found)]


def _sources() -> Iterator[tuple[re.Match[str], str]]:
    for each in (files("interlock.store") / "migrations").iterdir():
        if (match := _NAME.fullmatch(each.name)) is not None:
            yield match, each.read_text("utf-8")


def _statements(text: str) -> list[str]:
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [each.strip() for each in re.split(r";\s*$", code, flags=re.MULTILINE) if each.strip()]
