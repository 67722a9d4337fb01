"""What a torture did to undos and breakers, compared with what happened outside (invariants 7 and 8, E3).

An undo is missing where a success in a run that was undone stands; it is doubled where the world outside was
changed back twice; out of order where it overtook the undo of what was done later, or what it undoes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from interlock.core.model import SECOND
from interlock.store.schema import action_moves, actions, audit, runs
from support import replayed

MISSING, DOUBLED, ORDER, UNASKED, STOPPED = (
    "its undo is missing", "was undone twice", "was undone out of order", "was undone unasked", "began while",
)  # fmt: skip
_PATIENCE = 250_000
"""Microseconds from the commit of a transaction on PostgreSQL until all others see it."""

Effects = Sequence[tuple[str, float]]


def flaws(connection: sa.Connection, effects: Effects) -> Iterator[str]:
    """Yield what is wrong; `effects` are the action and the moment of each effect outside."""
    rows = {row.id: row for row in connection.execute(sa.select(actions))}
    undos = {row.comp_of: row for row in rows.values() if row.comp_of}
    at = dict(reversed(effects))
    times = Counter(name for name, _ in effects)
    aborting = {row.id for row in connection.execute(sa.select(runs.c.id).where(runs.c.aborting != ""))}
    for name, row in rows.items():
        undo = undos.get(name)
        if row.comp_of is None and row.run in aborting and row.state in replayed.DONE:
            yield f"{name} ({row.tool}) is {row.state} in a run that was undone: {MISSING}"
        if undo is None:
            continue
        if times[undo.id] > 1:
            yield f"{name} {DOUBLED}"
        if row.run not in aborting and times[undo.id]:
            yield f"{name} {UNASKED}"
        if undo.id in at and at.get(name, 0.0) > at[undo.id]:
            yield f"{name} {ORDER}: it happened after its undo"
    yield from _overtaken(connection, undos, at)


def _overtaken(connection: sa.Connection, undos: Mapping[str, Any], at: Mapping[str, float]) -> Iterator[str]:
    """Compare the order in which the undos of a run happened with the one that was put on record."""
    for row in connection.execute(sa.select(audit.c.run, audit.c.body).where(audit.c.kind == "run.undone")):
        planned = [undos[name].id for name in replayed.log_body(row.body)["undone"] if name in undos]
        moments = [at[name] for name in planned if name in at]
        if moments != sorted(moments):
            yield f"the run {row.run} {ORDER}"


def begun_though_open(connection: sa.Connection) -> Iterator[str]:
    """Yield what began under an open breaker, undos apart."""
    spans = _open(connection)
    query = (
        sa.select(actions.c.id, actions.c.tool, action_moves.c.at, _stood(connection, action_moves))
        .join(action_moves, action_moves.c.action == actions.c.id)
        .where(action_moves.c.to_state == "executing", actions.c.comp_of.is_(None))
    )
    for row in connection.execute(query):
        for since, until in spans.get(row.tool, ()):
            if since + _PATIENCE < row.at and row.stood < until - _PATIENCE:
                yield f"{row.id} ({row.tool}) {STOPPED} its breaker was open"


def _open(connection: sa.Connection) -> dict[str, list[tuple[int, int]]]:
    """Return from when until when the breaker of each tool was open for whoever looked."""
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    since: dict[tuple[str, int], int] = {}
    query = sa.select(audit.c.kind, audit.c.tool, audit.c.at, audit.c.body, _stood(connection, audit)).where(
        audit.c.kind.in_(("breaker.opened", "breaker.signed_off")), audit.c.tool != ""
    )
    for row in connection.execute(query.order_by("stood")):
        opening = row.tool, replayed.log_body(row.body)["opening"]
        if row.kind == "breaker.opened":
            since[opening] = row.stood
        elif opening in since:
            spans[row.tool].append((since.pop(opening), row.at))
    for (tool, _), moment in since.items():
        spans[tool].append((moment, 1 << 62))
    return spans


def _stood(connection: sa.Connection, table: sa.Table) -> sa.Label[int]:
    """Return when a row of `table` was committed, where the server keeps that: else when it was written.

    Its own moment is that at which its transaction began, which may be stopped before it commits.
    """
    kept = connection.dialect.name == "postgresql" and connection.scalar(
        sa.text("SHOW track_commit_timestamp")
    )
    if kept != "on":
        return table.c.at.label("stood")
    stood = sa.func.pg_xact_commit_timestamp(sa.literal_column(f"{table.name}.xmin"))
    return sa.cast(sa.extract("epoch", stood) * SECOND, sa.BigInteger).label("stood")


def openings(connection: sa.Connection) -> tuple[int, int]:
    """Return how often a breaker opened, and how often one was signed off."""
    kinds = Counter(
        connection.execute(sa.select(audit.c.kind).where(audit.c.kind.like("breaker.%"))).scalars()
    )
    return kinds["breaker.opened"], kinds["breaker.signed_off"]
