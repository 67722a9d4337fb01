"""The audit rows: appended to this process's chain inside the commit they belong to.

The head of a chain is in its row of `chains`, moved in the same commit; after a rollback or a lost
connection it is read again from there, so the chain never forks on a guess.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from interlock.core.audit import GENESIS, KEY_BYTES, Record, Sealer, key_id
from interlock.errors import StoreUnavailable
from interlock.runtime import Ids
from interlock.store.dialect import Dialect
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
        rows: list[tuple[object, ...]] = []
        for draft in drafts:
            seq += 1
            record = Record(self.id, seq, *draft)
            mac = self._sealer.mac(mac, record)
            rows.append((*record, mac))
        self._dialect.insert_many(connection, audit, rows)
        connection.execute(_MOVE, {"chain": self.id, "seq": seq, "mac": mac})
        self._next = seq, mac

    def committed(self) -> None:
        """Take the new head: the commit stands."""
        self._head, self._next = self._next or self._head, None

    def forget(self) -> None:
        """Drop the head: the commit was rolled back or its outcome is unknown; it is read again."""
        self._head = self._next = None

    def _read_or_begin(self, connection: sa.Connection, now: int) -> tuple[int, str]:
        if self.id:
            found = connection.execute(_HEAD, {"chain": self.id}).first()
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


_MOVE = (
    sa.update(chains)
    .where(chains.c.id == sa.bindparam("chain"))
    .values(head_seq=sa.bindparam("seq"), head_mac=sa.bindparam("mac"))
)
_HEAD = sa.select(chains.c.head_seq, chains.c.head_mac).where(chains.c.id == sa.bindparam("chain"))


def audit_key(data: Path) -> bytes:
    """Return the HMAC key of `<data>/keys/audit.key`, made (mode 0600) if there is none.

    Raises `StoreUnavailable` when others than its owner can read it or it does not hold 32 bytes.
    """
    path = data / "keys" / "audit.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_key(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return read_key(path)


def read_key(path: Path) -> bytes:
    """Return the key in a file of 64 hex digits. Raises `StoreUnavailable` when it cannot be trusted."""
    try:
        if path.stat().st_mode & 0o077:
            raise StoreUnavailable(f"Others can read the audit key {path}.", hint=f"chmod 600 {path}")
        key = bytes.fromhex(path.read_text().strip())
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
