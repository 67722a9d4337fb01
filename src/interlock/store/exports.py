"""The two forms of an audit export: JSON lines and CloudEvents, both one object a line.

JSON lines begin with a header (heads, checkpoints, filter) so that the file can be verified by itself. In
CloudEvents `data` is the entry. `body` is the exact text that the MAC covers, as a string.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from interlock.core.audit import Record
from interlock.errors import UsageError
from interlock.store.audit import ChainHead, Entry

FORMATS = ("jsonl", "cloudevents")
_VERSION = 1


class HeadLine(msgspec.Struct, frozen=True):
    """The end of one chain when the export was made."""

    chain: str
    key: str
    seq: int
    mac: str


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a JSON lines export. `filter` is empty when nothing was left out."""

    interlock_audit: int = _VERSION
    environment: str
    exported_at: int
    heads: tuple[HeadLine, ...]
    checkpoints: tuple[tuple[str, str], ...]
    filter: dict[str, Any] = {}


class _EntryLine(msgspec.Struct, frozen=True, kw_only=True):
    chain: str
    seq: int
    at: int
    kind: str
    run: str
    agent: str
    workflow: str
    tool: str
    action: str
    person: str
    body: str
    mac: str


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    specversion: str
    id: str
    source: str
    type: str
    time: str
    datacontenttype: str
    data: _EntryLine
    subject: str = ""


Line = Header | Entry


def header(
    *,
    environment: str,
    now: int,
    heads: list[ChainHead],
    signed: list[tuple[str, str]],
    left_out: dict[str, Any],
) -> bytes:
    """Return the first line of a JSON lines export."""
    ends = tuple(HeadLine(each.chain, each.key, each.seq, each.mac) for each in heads)
    made = Header(
        environment=environment, exported_at=now, heads=ends, checkpoints=tuple(signed), filter=left_out
    )
    return msgspec.json.encode(made) + b"\n"


def jsonl(entry: Entry) -> bytes:
    """Return an entry as one JSON line."""
    return msgspec.json.encode(_line(entry)) + b"\n"


def cloudevent(entry: Entry, *, environment: str) -> bytes:
    """Return an entry as one CloudEvents 1.0 event in JSON."""
    record = entry[0]
    event = _Event(
        specversion="1.0",
        id=f"{record.chain}/{record.seq}",
        source=f"urn:interlock:{environment}:audit",
        type=f"dev.interlock.audit.{record.kind}",
        time=datetime.fromtimestamp(record.at / 1_000_000, UTC).isoformat(),
        datacontenttype="application/json",
        data=_line(entry),
        subject=record.action or record.run or record.tool,
    )
    return msgspec.json.encode(event) + b"\n"


def as_object(entry: Entry) -> dict[str, Any]:
    """Return an entry for a reader: its body decoded."""
    shown = msgspec.to_builtins(_line(entry))
    return {**shown, "body": msgspec.json.decode(entry[0].body)}


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of an export. Raises `UsageError` naming the line that is none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _read(line, f"{path} line {number}")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _read(line: bytes, where: str) -> Line:
    try:
        if b'"interlock_audit"' in line[:40]:
            return msgspec.json.decode(line, type=Header)
        if b'"specversion"' in line[:40]:
            return _entry(msgspec.json.decode(line, type=_Event).data)
        return _entry(msgspec.json.decode(line, type=_EntryLine))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{where} is not a line of an audit export: {error}.", hint="Was the file cut off or edited?"
        ) from error


def _line(entry: Entry) -> _EntryLine:
    return _EntryLine(**entry[0]._asdict(), mac=entry[1])


def _entry(line: _EntryLine) -> Entry:
    *fields, mac = msgspec.structs.astuple(line)
    return Record(*fields), mac
