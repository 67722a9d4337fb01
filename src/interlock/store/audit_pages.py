"""Where a page of the audit log ends and the next begins: the place of its last entry, as a cursor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.errors import UsageError
from interlock.store.audit import Entry, Filter
from interlock.store.schema import audit

Place = tuple[int, str, int]
"""Time, chain and number of an entry: the order in which the newest come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier(Filter):
    """Which entries, of those that stand before `place` in time where it is given."""

    place: Place | None = None

    def clauses(self) -> Iterator[sa.ColumnElement[bool]]:
        """The conditions as SQL."""
        yield from Filter.clauses(self)
        if self.place is not None:
            order = sa.tuple_(audit.c.at, audit.c.chain, audit.c.seq)
            yield order < sa.tuple_(*map(sa.literal, self.place))


def cursor(entry: Entry) -> str:
    """Return the place of an entry as text."""
    record, _mac = entry
    return f"{record.at}.{record.chain}.{record.seq}"


def place_of(text: str) -> Place | None:
    """Read a cursor; none in an empty text. Raises `UsageError` when it is not one."""
    if not text:
        return None
    at, _, rest = text.partition(".")
    chain, _, seq = rest.rpartition(".")
    if not (at.isdecimal() and seq.isdecimal() and chain):
        raise UsageError(
            "before is not a place in the audit log.", hint='Take "next" of the page before, as it is.'
        )
    return int(at[:18]), chain, int(seq[:18])
