"""What must be true of the actions on a disk, and between them and what really happened outside.

The journal of moves is replayed against the table of states; approvals are compared with the decisions that
the audit log holds; the audit chains are followed. Each function returns what is wrong, in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.audit import Verifier
from interlock.store import audit as log
from interlock.store.schema import actions, approvals, audit
from interlock.testing import journal as history

NEVER = frozenset({"denied", "rejected", "expired", "cancelled", "superseded", "failed"})
"""States of which it is certain that nothing happened."""
DONE = frozenset({"succeeded", "pending_settlement", "settled"})
UNDONE = frozenset({"compensating", "compensated", "compensation_failed"})
"""States of what happened, and whose caller was told that it does not stand."""

DECIDED = {
    "approved": "approval.approved",
    "rejected": "approval.rejected",
    "superseded": "approval.modified",
}
_DECISIONS = frozenset(DECIDED.values())


def journal(connection: sa.Connection) -> Iterator[str]:
    """Replay every move: legal, without a gap, in the order of time, and ending where the table stands."""
    yield from history.check(connection)


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
