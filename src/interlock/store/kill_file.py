"""The kill file: stops a process without its API and without its database (B5).

It lies in the data directory, which only the server's own user can write, and lists kills as JSON. Its being
there stops something: a file that is empty, torn, foreign or too large stops everything, so `touch` will do.
Taking it away resumes nothing; that needs two people. The process answers in a file beside it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from interlock.core.kill import EVERYTHING, KillLevel, KillOrder, KillSource, scope_of
from interlock.store.place import write_file

NAME, ANSWER = "kill", "kill.seen"
_MOST = 65_536
_UNREADABLE = "the kill file holds nothing that can be read"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    subject: str
    level: KillLevel
    reason: str
    by: str
    at: int


class _Answer(msgspec.Struct, frozen=True):
    process: int
    ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Which process obeys which kills of the file."""

    process: int
    ids: frozenset[str]


def read(data: Path) -> tuple[KillOrder, ...]:
    """Return what the file stops; nothing where there is no file. Never raises: what is unclear stops all."""
    try:
        orders = tuple(map(_order, msgspec.json.decode(_content(data / NAME), type=list[_Entry])))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        orders = ()
    return orders or (_everything(data / NAME),)


def write(data: Path, order: KillOrder) -> None:
    """Add a kill to the file, once; a reader sees all of it or none. Raises `OSError`."""
    there = read(data)
    if order.id not in {each.id for each in there}:
        _put(data, [*there, order])


def remove(data: Path, ids: Iterable[str]) -> None:
    """Take resumed kills out of the file, and the file away with the last. Raises `OSError`."""
    gone = set(ids)
    orders = read(data)
    kept = [each for each in orders if each.id not in gone]
    if len(kept) == len(orders):
        return
    if kept:
        _put(data, kept)
    else:
        (data / NAME).unlink(missing_ok=True)


def answer(data: Path, ids: Iterable[str]) -> None:
    """Say that this process obeys these kills. Raises `OSError`."""
    said = _Answer(process=os.getpid(), ids=sorted(ids))
    write_file(data / ANSWER, msgspec.json.encode(said))


def seen(data: Path) -> Seen | None:
    """Return which process obeys what, as it last said."""
    try:
        said = msgspec.json.decode((data / ANSWER).read_bytes(), type=_Answer)
    except (OSError, msgspec.MsgspecError):
        return None
    return Seen(process=said.process, ids=frozenset(said.ids))


class Watched:
    """Tells when the file has changed, at the price of one look at its directory entry."""

    def __init__(self, data: Path) -> None:
        self._path = data / NAME
        self._known: tuple[int, ...] | None = None

    def changed(self, *, look: Callable[[Path], os.stat_result] = os.lstat) -> bool:
        """Whether it is not what it was at the last call; at first, whether it is there."""
        try:
            about = look(self._path)
            now = (about.st_ino, about.st_mtime_ns, about.st_ctime_ns, about.st_size)
        except FileNotFoundError:
            now = None
        except OSError:
            now = (0,)
        known, self._known = self._known, now
        return now != known


def _put(data: Path, orders: Iterable[KillOrder]) -> None:
    entries = [
        _Entry(id=each.id, subject=each.subject, level=each.level, reason=each.reason, by=each.by, at=each.at)
        for each in orders
    ]
    write_file(data / NAME, msgspec.json.encode(entries))


def _order(entry: _Entry) -> KillOrder:
    scope_of(entry.subject)
    if not entry.id:
        raise ValueError("a kill has an id")
    return KillOrder(
        id=entry.id[:64],
        subject=entry.subject,
        level=entry.level,
        reason=entry.reason[:500],
        by=entry.by[:100],
        source=KillSource.FILE,
        at=entry.at,
    )


def _content(path: Path) -> bytes:
    """Return what a plain file of our own holds. Raises `OSError`, and `ValueError` for anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid not in (0, os.getuid()) or about.st_size > _MOST:
            raise ValueError("not a file of ours")
        return os.read(descriptor, _MOST)
    finally:
        os.close(descriptor)


def _everything(path: Path) -> KillOrder:
    """Return a stop of everything. Its id is the file's own: another such file is another kill."""
    about = path.lstat()
    own = f"{about.st_ino}:{about.st_mtime_ns}:{about.st_size}"
    return KillOrder(
        id=f"kill_file_{sha256(own.encode()).hexdigest()[:20]}",
        subject=EVERYTHING,
        level=KillLevel.STOP,
        reason=_UNREADABLE,
        by="whoever made the file",
        source=KillSource.FILE,
        at=0,
    )
