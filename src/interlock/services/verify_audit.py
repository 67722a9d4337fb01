"""Verify the audit log, of a database or of an export, without trusting whoever wrote it (A6, invariant 9).

Every MAC is computed anew; heads and signed checkpoints testify to what must be there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import sqlalchemy as sa

from interlock.core.audit import Flaw, Verifier, Witness, key_id
from interlock.core.model import Json
from interlock.errors import UsageError
from interlock.settings import Settings
from interlock.store import audit, checkpoints
from interlock.store.audit import ChainHead, Entry, read_key
from interlock.store.database import open_reader
from interlock.store.exports import Header, Line, read_lines

Progress = Callable[[int], None]
_STEP = 10_000
_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What verification found. `since_checkpoint`: entries that no checkpoint vouches for yet."""

    ok: bool
    entries: int
    chains: int
    checkpoints: int
    since_checkpoint: int
    flaws: tuple[Flaw, ...]
    found: int
    advice: str


@dataclass(slots=True, kw_only=True)
class _Case:
    """What there is to go by: keys, heads, signed checkpoints, the keys that verify those.

    `known`: checkpoints that an export carries, whether or not they can be checked.
    """

    keys: Sequence[bytes]
    heads: Sequence[ChainHead] = ()
    tokens: Mapping[str, str] = field(default_factory=dict[str, str])
    jwks: Mapping[str, Mapping[str, Json]] = field(default_factory=dict[str, Mapping[str, Json]])
    known: frozenset[str] = frozenset()
    flaws: list[Flaw] = field(default_factory=list[Flaw])

    def key_of(self, chain: str) -> bytes | None:
        """The key of a chain: the one that its head names, or the only one there is."""
        named = {head.chain: head.key for head in self.heads}
        if chain in named:
            return next((key for key in self.keys if key_id(key) == named[chain]), None)
        return self.keys[0] if len(self.keys) == 1 else None


def verify_connection(
    connection: sa.Connection, settings: Settings, *, progress: Progress | None = None
) -> Report:
    """Verify the database that `connection` reads, with the data directory's own keys."""
    keys = [read_key(settings.data / "keys" / "audit.key")]
    return _verify_connection(connection, keys, settings.checkpoint_directory, progress=progress)


def verify_database(
    settings: Settings,
    *,
    keys: Sequence[Path] = (),
    directory: Path | None = None,
    jwks: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify the configured database, read-only, beside a running server or without one.

    Raises `StoreUnavailable` when the database, a key or a key set cannot be read.
    """
    given = [read_key(path) for path in keys or [settings.data / "keys" / "audit.key"]]
    place = directory or settings.checkpoint_directory
    with open_reader(settings) as connection:
        return _verify_connection(connection, given, place, jwks=jwks, progress=progress)


def verify_export(
    export: Path,
    *,
    keys: Sequence[Path],
    directory: Path | None = None,
    jwks: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify an export: JSON lines or CloudEvents. Raises `UsageError` when it is neither, or a part only."""
    lines = read_lines(export)
    first = next(lines, None)
    header = first if isinstance(first, Header) else None
    if header is not None and header.filter:
        raise UsageError(
            f"{export} is a part of the log (filtered by {', '.join(header.filter)}) and cannot be verified.",
            hint="Export the whole log: interlock audit export -o FILE",
        )
    case = _Case(keys=[read_key(path) for path in keys], jwks=_jwks(jwks, directory))
    case.tokens = dict(checkpoints.read_files(directory)) if directory else {}
    if header is not None:
        case.heads = [ChainHead(chain=h.chain, key=h.key, seq=h.seq, mac=h.mac) for h in header.heads]
        own = dict(header.checkpoints)
        case.tokens = {**own, **case.tokens} if case.jwks else case.tokens
        case.known = frozenset(own)
    return _judge(case, _only_entries(first, lines), progress)


def _only_entries(first: Line | None, rest: Iterator[Line]) -> Iterator[Entry]:
    for line in (first, *()):
        if line is not None and not isinstance(line, Header):
            yield line
    for line in rest:
        if not isinstance(line, Header):
            yield line


def _verify_connection(
    connection: sa.Connection,
    keys: Sequence[bytes],
    directory: Path,
    *,
    jwks: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    case = _Case(keys=keys, heads=audit.heads(connection), jwks=_jwks(jwks, directory))
    case.tokens = {**dict(checkpoints.tokens(connection)), **dict(checkpoints.read_files(directory))}
    return _judge(case, audit.entries(connection), progress)


def _jwks(given: Path | None, directory: Path | None) -> Mapping[str, Mapping[str, Json]]:
    if given is not None:
        return checkpoints.read_jwks(given)
    beside = directory / "jwks.json" if directory else None
    return checkpoints.read_jwks(beside) if beside and beside.exists() else {}


def _judge(case: _Case, entries: Iterable[Entry], progress: Progress | None) -> Report:
    believed = [each for each in (_opened(case, *pair) for pair in case.tokens.items()) if each]
    witnesses = [witness for each in believed for witness in each.witnesses()]
    witnesses += [
        Witness(chain=head.chain, seq=head.seq, mac=head.mac, by="the chain's head", last=True)
        for head in case.heads
        if head.seq
    ]
    verifier = Verifier(case.key_of, witnesses)
    ends: dict[str, int] = {}
    for record, mac in entries:
        verifier.add(record, mac)
        ends[record.chain] = record.seq
        if record.kind == "audit.checkpoint":
            _is_there(case, record.body, (record.chain, record.seq))
        if progress is not None and verifier.entries % _STEP == 0:
            progress(verifier.entries)
    flaws = [*case.flaws, *verifier.finish()]
    vouched: dict[str, int] = {}
    for each in believed:
        for head in each.heads:
            vouched[head.chain] = max(vouched.get(head.chain, 0), head.seq)
    return Report(
        ok=not flaws,
        entries=verifier.entries,
        chains=verifier.chains,
        checkpoints=len(believed),
        since_checkpoint=sum(max(0, end - vouched.get(chain, 0)) for chain, end in ends.items()),
        flaws=tuple(flaws[:_SHOWN]),
        found=len(flaws),
        advice=_advice({flaw.code for flaw in flaws}),
    )


def _opened(case: _Case, name: str, token: str) -> checkpoints.Checkpoint | None:
    opened = checkpoints.verified(token, case.jwks)
    if isinstance(opened, str):
        message = f"checkpoint {name} is not believed: {opened}"
        case.flaws.append(Flaw(code="checkpoint_invalid", chain="", seq=0, message=message))
        return None
    return opened


def _is_there(case: _Case, body: str, where: tuple[str, int]) -> None:
    """A checkpoint that the log says was taken must still be there, unchanged."""
    try:
        said = msgspec.json.decode(body, type=dict[str, str])
    except msgspec.DecodeError:
        return  # a changed body is a flaw of its own
    name = said.get("checkpoint", "")
    token = case.tokens.get(name)
    if token is None and name in case.known:
        return  # the export carries it, and no key was given to check it by
    if token is None or hashlib.sha256(token.encode()).hexdigest() != said.get("sha256"):
        message = f"checkpoint {name} was taken and is missing or changed"
        case.flaws.append(Flaw(code="checkpoint_missing", chain=where[0], seq=where[1], message=message))


def _advice(codes: set[str]) -> str:
    if not codes:
        return ""
    if codes <= {"key_missing", "rehashed"}:
        return (
            "If the log was written with another key, give it with --key. Otherwise treat the log as forged."
        )
    if codes <= {"checkpoint_invalid", "checkpoint_missing"}:
        return "Give the directory where checkpoints are kept with --checkpoints, and their keys with --jwks."
    return (
        "Keep the database as it is, copy it and the checkpoint directory aside, compare with the last export"
        " or backup that verifies, and find out who could write to the data directory."
    )
