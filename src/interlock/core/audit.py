"""The audit chain (A6, invariant 9): a keyed hash over every field of an entry and the entry before it.

Each writing process has one chain. The MAC is HMAC-SHA-256 over the previous MAC and all fields as
netstrings, so no two entries encode alike. Without the key nobody can re-hash a changed chain; a cut-off
end is found by the checkpoints, which hold the heads of all chains and are signed and kept elsewhere.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

GENESIS = "0" * 64


class Record(NamedTuple):
    """What one entry says. `at` in microseconds; `body` is a JSON object as text."""

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


def encode(record: Record) -> bytes:
    """Return the one byte string of a record: every field as a netstring, in the order of `Record`."""
    return b"".join([b"%d:%b," % (len(raw), raw) for raw in [str(field).encode() for field in record]])


def mac_of(key: bytes, previous: str, record: Record) -> str:
    """Return the MAC (hex) of `record` following the entry whose MAC is `previous`."""
    return hmac.digest(key, previous.encode() + encode(record), "sha256").hex()
