"""What is known of the actions and runs that a violation names, so that a log alone shows how it came about.

Moves and entries of the audit log carry the moments of the database's clock, or of one that is set; calls
outside, kills and stops those of the clock on the wall, which nobody sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from tests.torture.engine import Life

from interlock.core.model import SECOND
from interlock.store.schema import action_moves, actions, approvals, audit, chains, runs

_MOST = 6
"""Violations that are gone into."""
_AT_ONCE = 40
"""Actions of one violation that are told of: a job's orders, their revisions and their undos are fewer."""
_NAMED = re.compile(r"\b(?:act|run|apr)_\w+")

Calls = Sequence[tuple[str, str, float]]
"""Calls outside: the action, what became of it, and when (seconds since the epoch)."""
Fates = Sequence[tuple[float, int, str]]
"""What was done to engines: when (seconds since the epoch), to which process, and what."""


def about(
    connection: sa.Connection, wrong: Sequence[str], *, lives: Sequence[Life], calls: Calls, fates: Fates
) -> Iterator[str]:
    """Yield, for each of the first violations, everything on record about what it names, in lines."""
    born = {int(pid): (process, float(at)) for life in lives for pid, process, at in life.lines("lives")}
    for each in wrong[:_MOST]:
        yield f"--- {each}"
        pids: set[int] = set()
        for run in _runs(connection, _NAMED.findall(each)):
            yield from _run(connection, run, calls, pids)
        for pid in sorted(pids):
            process, since = born.get(pid, ("?", 0.0))
            met = "".join(f", {what} {_clock(at)}" for at, of, what in fates if of == pid)
            yield f"  process {pid} ({process}) began {_clock(since)}{met}"


def _runs(connection: sa.Connection, names: Iterable[str]) -> list[Any]:
    """Return the runs that names of actions, approvals or runs belong to."""
    named = list(names)
    asked = sa.select(approvals.c.action).where(approvals.c.id.in_(named))
    theirs = sa.select(actions.c.run).where(sa.or_(actions.c.id.in_(named), actions.c.id.in_(asked)))
    query = sa.select(runs).where(sa.or_(runs.c.id.in_(named), runs.c.id.in_(theirs)))
    return list(connection.execute(query.order_by(runs.c.id)))


def _run(connection: sa.Connection, run: Any, calls: Calls, pids: set[int]) -> Iterator[str]:
    yield f"  {run.id} ({run.workflow}) is {run.state}, undone with {run.aborting or 'none'}: {run.reason}"
    entries = sa.select(audit, chains.c.process).join(chains, chains.c.id == audit.c.chain)
    said: dict[str, list[Any]] = {}
    for row in connection.execute(entries.where(audit.c.run == run.id).order_by(audit.c.at)):
        said.setdefault(row.action, []).append(row)
        pids.add(int(row.process))
    for row in said.get("", ()):
        yield f"    {_moment(row.at)} {row.kind} in {row.process}: {row.body}"
    query = sa.select(actions).where(actions.c.run == run.id).order_by(actions.c.id).limit(_AT_ONCE)
    for row in connection.execute(query):
        yield from _action(connection, row, calls, said.get(row.id, ()))


def _action(connection: sa.Connection, row: Any, calls: Calls, said: Sequence[Any]) -> Iterator[str]:
    undoes = f", undoes {row.comp_of}" if row.comp_of else ""
    yield (
        f"    {row.id} {row.tool} ({row.effect}{undoes}) is {row.state}, attempt {row.attempt}, began"
        f" {_moment(row.began_at)}, ended {_moment(row.ended_at)}, due {_moment(row.due_at)}, lease"
        f" {_moment(row.lease_until)}, of {row.owner_process or '-'}: {row.error or ''}"
    )
    moves = sa.select(action_moves).where(action_moves.c.action == row.id).order_by(action_moves.c.seq)
    for each in connection.execute(moves):
        yield (
            f"      {_moment(each.at)} {each.seq}: {each.from_state or 'new'} -> {each.to_state}"
            f" by {each.by}: {each.reason}"
        )
    for each in said:
        yield f"      {_moment(each.at)} {each.kind} in {each.process}: {each.body[:200]}"
    for action, what, at in calls:
        if action == row.id:
            yield f"      {_clock(at)} outside: {what}"


def _moment(at: int | None) -> str:
    return _clock(at / SECOND) if at else "-"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"
