"""What must be true of the actions on a disk, and between them and what really happened outside.

The journal of moves is replayed against the table of states; approvals are compared with the decisions that
the audit log holds; the audit chains are followed. Each function returns what is wrong, in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.action import ActionState
from interlock.core.audit import Verifier
from interlock.store import audit as log
from interlock.store.schema import action_moves, actions, approvals, audit

NEVER = frozenset({"denied", "rejected", "expired", "cancelled", "superseded", "failed"})
"""States of which it is certain that nothing happened."""
DONE = frozenset({"succeeded", "pending_settlement", "settled"})
DECIDED = {
    "approved": "approval.approved",
    "rejected": "approval.rejected",
    "superseded": "approval.modified",
}
_DECISIONS = frozenset(DECIDED.values())


def journal(connection: sa.Connection) -> Iterator[str]:
    """Replay every move: legal, without a gap, in the order of time, and ending where the table stands."""
    moves: dict[str, list[Any]] = {}
    for row in connection.execute(
        sa.select(action_moves).order_by(action_moves.c.action, action_moves.c.seq)
    ):
        moves.setdefault(row.action, []).append(row)
    for row in connection.execute(sa.select(actions)):
        yield from _replayed(row, moves.pop(row.id, []))
    for name in moves:
        yield f"{name} has moves and no row"


def _replayed(row: Any, moves: list[Any]) -> Iterator[str]:
    if [each.seq for each in moves] != list(range(row.fence + 1)):
        yield f"{row.id} has the moves {[each.seq for each in moves]} at fence {row.fence}"
        return
    if moves[0].from_state is not None or moves[-1].to_state != row.state:
        yield f"{row.id} is {row.state}, its journal says {moves[-1].to_state}"
    attempt = 0
    for was, now in pairwise(moves):
        if now.from_state != was.to_state or now.at < was.at:
            yield f"{row.id}: the moves {was.seq} and {now.seq} do not fit"
        if not ActionState(was.to_state).may_become(ActionState(now.to_state)):
            yield f"{row.id} went from {was.to_state} to {now.to_state}"
    for each in moves:
        attempt += each.to_state == "executing"
        attempt -= each.from_state == "executing" and each.to_state == "awaiting_input"
    if attempt != row.attempt:
        yield f"{row.id} counts {row.attempt} attempts, its journal {attempt}"


def decisions(connection: sa.Connection) -> Iterator[str]:
    """Compare requests for approval with the decisions on record: one for each, and the same."""
    said: dict[str, list[Any]] = {}
    entries = sa.select(audit.c.kind, audit.c.person, audit.c.body).where(audit.c.kind.in_(_DECISIONS))
    for row in connection.execute(entries):
        said.setdefault(log_body(row.body)["approval"], []).append(row)
    for row in connection.execute(sa.select(approvals)):
        found = said.pop(row.id, [])
        wanted = DECIDED.get(row.state)
        if row.revision_of and row.state == "approved" and not found:
            continue  # decided by the change itself, which is on record with what it changed
        if [each.kind for each in found] != ([wanted] if wanted else []):
            yield f"{row.id} is {row.state}, on record are {[each.kind for each in found]}"
        elif found and found[0].person != row.decided_by:
            yield f"{row.id} was decided by {row.decided_by}, on record by {found[0].person}"
    for name in said:
        yield f"a decision on {name} is on record, which is not there"


def chains(connection: sa.Connection, key: bytes) -> Iterator[str]:
    """Follow the audit chains."""
    verifier = Verifier(key_of=lambda _: key)
    for record, mac in log.entries(connection):
        verifier.add(record, mac)
    for flaw in verifier.finish():
        yield f"the audit chain is broken: {flaw}"


def effects(
    connection: sa.Connection, happened: Iterable[str], *, twice: Collection[str], asked_for: Collection[str]
) -> Iterator[str]:
    """Compare the actions with the effects outside, one name of an action for each.

    `twice` names tools whose calls outside keeps apart by a key, so that it may see one more than once;
    `asked_for` those of which no call may happen without an approval.
    """
    count = Counter(happened)
    rows = {row.id: row for row in connection.execute(sa.select(actions))}
    asked = {row.id: row for row in connection.execute(sa.select(approvals))}
    for name in count.keys() - rows.keys():
        yield f"an effect has no intent: {name}"
    for name, row in rows.items():
        times = count[name]
        if times > 1 and row.tool not in twice:
            yield f"{name} ({row.tool}) happened {times} times"
        yield from _ended(row, times)
        if times and row.tool in asked_for:
            yield from _permitted(row, asked)


def _ended(row: Any, times: int) -> Iterator[str]:
    if times and row.attempt == 0:
        yield f"{row.id} ({row.tool}) happened and was never begun: {row.state}"
    elif times and row.state in NEVER:
        yield f"{row.id} ({row.tool}) happened and is {row.state}: {row.error}"
    elif not times and row.state in DONE and row.effect != "read":
        yield f"{row.id} ({row.tool}) is {row.state} and never happened"


def _permitted(row: Any, asked: Mapping[str, Any]) -> Iterator[str]:
    permit = asked.get(row.approval or "")
    if permit is None or permit.state != "approved" or permit.digest != row.digest:
        yield f"{row.id} ({row.tool}) happened without an approval"


def log_body(text: str) -> dict[str, Any]:
    """Return the body of an audit entry."""
    return msgspec.json.decode(text, type=dict[str, Any])
