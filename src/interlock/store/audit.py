"""The audit rows: appended to this process's chain inside the commit they belong to.

The head of a chain is in its row of `chains`, moved in the same commit; after a rollback or a lost
connection it is read again from there, so the chain never forks on a guess.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from interlock.core.audit import GENESIS, KEY_BYTES, Record, Sealer, key_id
from interlock.errors import StoreUnavailable
from interlock.runtime import Ids
from interlock.store.dialect import Dialect
from interlock.store.place import write_private
from interlock.store.prepared import Prepared
from interlock.store.schema import audit, chains

Draft = tuple[int, str, str, str, str, str, str, str, str]
"""What an entry says before it has a place in a chain: `at` to `body`, in the order of `Record`."""


class Chain:
    """This process's audit chain. Begun with its first entry; used by the writer thread alone."""

    def __init__(self, *, key: bytes, ids: Ids, dialect: Dialect) -> None:
        self._sealer = Sealer(key)
        self._key_id = key_id(key)
        self._ids = ids
        self._dialect = dialect
        self.id = ""
        self._head: tuple[int, str] | None = None
        self._next: tuple[int, str] | None = None

    def append(self, connection: sa.Connection, drafts: Sequence[Draft], *, now: int) -> None:
        """Write entries at the end of the chain. The head moves when `committed` is called."""
        if not drafts:
            return
        seq, mac = self._head or self._read_or_begin(connection, now)
        chain, seal = self.id, self._sealer.mac
        rows: list[tuple[object, ...]] = []
        for draft in drafts:
            seq += 1
            record = (chain, seq, *draft)
            mac = seal(mac, record)
            rows.append((*record, mac))
        self._dialect.insert_many(connection, audit, rows)
        _MOVE.run(connection, {"chain": self.id, "seq": seq, "mac": mac})
        self._next = seq, mac

    def pending(self) -> tuple[int, str] | None:
        """Return where the head will be once the running commit stands; None if it adds nothing."""
        return self._next

    def stands(self, connection: sa.Connection, head: tuple[int, str]) -> bool:
        """Whether a commit whose outcome was not known is there after all: it moved the head to `head`."""
        found = connection.execute(_HEAD, {"chain": self.id}).first()
        return found is not None and (found[0], found[1]) == head

    def committed(self) -> None:
        """Take the new head: the commit stands."""
        self._head, self._next = self._next or self._head, None

    def forget(self) -> None:
        """Drop the head: the commit was rolled back or its outcome is unknown; it is read again."""
        self._head = self._next = None

    def _read_or_begin(self, connection: sa.Connection, now: int) -> tuple[int, str]:
        found = connection.execute(_HEAD, {"chain": self.id}).first() if self.id else None
        if found is not None:
            return found[0], found[1]
        self.id = self.id or self._ids.new("chn")
        connection.execute(
            sa.insert(chains).values(
                id=self.id,
                process=str(os.getpid()),
                key=self._key_id,
                opened_at=now,
                head_seq=0,
                head_mac=GENESIS,
            )
        )
        return 0, GENESIS


_MOVE = Prepared(
    sa.update(chains)
    .where(chains.c.id == sa.bindparam("chain"))
    .values(head_seq=sa.bindparam("seq"), head_mac=sa.bindparam("mac"))
)
_HEAD = (
    sa.select(chains.c.head_seq, chains.c.head_mac)
    .where(chains.c.id == sa.bindparam("chain"))
    .with_for_update()
)


def audit_key(data: Path) -> bytes:
    """Return the HMAC key of `<data>/keys/audit.key`, made (mode 0600) if there is none.

    Raises `StoreUnavailable` when others than its owner can read it or it does not hold 32 bytes.
    """
    path = data / "keys" / "audit.key"
    write_private(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")
    return read_key(path)


def read_key(path: Path) -> bytes:
    """Return the key in a file of 64 hex digits. Raises `StoreUnavailable` when it cannot be trusted."""
    try:
        if path.stat().st_mode & 0o077:
            raise StoreUnavailable(f"Others can read the audit key {path}.", hint=f"chmod 600 {path}")
        key = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise StoreUnavailable(
            f"There is no audit key at {path}.",
            hint="Set INTERLOCK_DATA to the data directory of the log, or name its key.",
        ) from None
    except OSError as error:
        raise StoreUnavailable(
            f"The audit key {path} cannot be read: {error.strerror}.", hint="Run as the user that owns it."
        ) from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreUnavailable(
            f"The audit key {path} does not hold 64 hex digits.", hint="Restore it from a backup."
        )
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """The end of one chain as its row says, and the name of the key it was written with."""

    chain: str
    key: str
    seq: int
    mac: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries: equal fields, and `since` (included) to `until` (excluded) in microseconds."""

    run: str = ""
    agent: str = ""
    workflow: str = ""
    tool: str = ""
    action: str = ""
    person: str = ""
    kind: str = ""
    since: int = 0
    until: int = 0

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Filter()

    def clauses(self) -> Iterator[sa.ColumnElement[bool]]:
        """The conditions as SQL."""
        for name in ("run", "agent", "workflow", "tool", "action", "person", "kind"):
            if value := getattr(self, name):
                yield audit.c[name] == value
        if self.since:
            yield audit.c.at >= self.since
        if self.until:
            yield audit.c.at < self.until


Entry = tuple[Record, str]
"""A record and its MAC."""


def heads(connection: sa.Connection) -> list[ChainHead]:
    """Return the end of every chain."""
    rows = connection.execute(sa.select(chains).order_by(chains.c.id))
    return [ChainHead(chain=row.id, key=row.key, seq=row.head_seq, mac=row.head_mac) for row in rows]


def entries(connection: sa.Connection) -> Iterator[Entry]:
    """Yield every entry, chain by chain in order, in constant memory."""
    stream = connection.execution_options(yield_per=_PAGE)
    for row in stream.execute(sa.select(audit).order_by(audit.c.chain, audit.c.seq)):
        yield Record(*row[:-1]), row[-1]


def page(connection: sa.Connection, which: Filter, after: tuple[str, int]) -> list[Entry]:
    """Return the next entries after a place (`("", 0)` at first), in the order of the chains."""
    place = sa.tuple_(audit.c.chain, audit.c.seq) > sa.tuple_(*map(sa.literal, after))
    query = sa.select(audit).where(place, *which.clauses()).order_by(audit.c.chain, audit.c.seq).limit(_PAGE)
    return [(Record(*row[:-1]), row[-1]) for row in connection.execute(query)]


def newest(connection: sa.Connection, which: Filter, limit: int) -> list[Entry]:
    """Return the newest entries, newest first."""
    order = audit.c.at.desc(), audit.c.chain.desc(), audit.c.seq.desc()
    query = sa.select(audit).where(*which.clauses()).order_by(*order).limit(limit)
    return [(Record(*row[:-1]), row[-1]) for row in connection.execute(query)]


_PAGE = 1_000
