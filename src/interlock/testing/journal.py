"""Replay the history of every action in a database against the state machine, and check it against its table.

For tests that kill, race and pause: whatever they did, this finds nothing. It reads, and changes nothing.
"""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from interlock.core.history import Step, flaws
from interlock.store.action_rows import action_of
from interlock.store.schema import action_moves, actions, approvals


def check(connection: sa.Connection) -> list[str]:
    """Return everything that does not add up, each with the id of its action; empty if all is sound."""
    steps: dict[str, list[Step]] = defaultdict(list)
    for row in connection.execute(
        sa.select(action_moves).order_by(action_moves.c.action, action_moves.c.seq)
    ):
        step = Step(seq=row.seq, from_state=row.from_state or "", to_state=row.to_state, at=row.at)
        steps[row.action].append(step)
    every = [action_of(row) for row in connection.execute(sa.select(actions)).mappings()]
    known = {each.id for each in every}
    found = [f"{each.id}: {flaw}" for each in every for flaw in flaws(each, steps.get(each.id, ()))]
    found += [f"{name}: it has a history and no row" for name in steps.keys() - known]
    said = {row.id: row.state for row in connection.execute(sa.select(approvals.c.id, approvals.c.state))}
    found += [
        f"{each.id}: it was sent, and its approval {each.approval} is {said.get(each.approval)}"
        for each in every
        if each.attempt and each.approval and said.get(each.approval) != "approved"
    ]
    return sorted(found)
