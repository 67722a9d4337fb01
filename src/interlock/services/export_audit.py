"""Export the audit log as JSON lines or CloudEvents, page by page: it is never in memory as a whole (A6)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from interlock.errors import UsageError
from interlock.settings import Settings
from interlock.store import audit, checkpoints, exports
from interlock.store.audit import Entry, Filter
from interlock.store.database import Store


async def export_audit(
    store: Store, settings: Settings, *, which: Filter, form: str, now: int
) -> AsyncIterator[bytes]:
    """Yield the export in pieces of about a thousand lines.

    What is written while it runs may or may not be in it; the heads in its first line say where every
    chain stood, and no more than that is exported. Raises `UsageError` for an unknown form.
    """
    if form not in exports.FORMATS:
        raise UsageError(
            f"There is no export format {form!r}.", hint=f"It is one of {', '.join(exports.FORMATS)}."
        )
    heads, signed = await store.read(
        lambda connection: (audit.heads(connection), checkpoints.tokens(connection))
    )
    ends = {head.chain: head.seq for head in heads}
    if form == "jsonl":
        yield exports.header(
            environment=settings.environment,
            now=now,
            heads=heads,
            signed=signed,
            left_out={} if which.everything else _said(which),
        )
    after = ("", 0)
    while page := await store.read(lambda connection, start=after: audit.page(connection, which, start)):
        last = page[-1][0]
        after = last.chain, last.seq
        yield b"".join(_line(entry, form, settings) for entry in page if _inside(entry, ends))


def _inside(entry: Entry, ends: dict[str, int]) -> bool:
    return entry[0].seq <= ends.get(entry[0].chain, 0)


def _line(entry: Entry, form: str, settings: Settings) -> bytes:
    if form == "jsonl":
        return exports.jsonl(entry)
    return exports.cloudevent(entry, environment=settings.environment)


def _said(which: Filter) -> dict[str, object]:
    return {name: value for name, value in msgspec.to_builtins(which).items() if value}
