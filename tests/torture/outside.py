"""The world outside, a process of its own: it does what it is asked to and keeps every call it ever got.

One call in nine is refused, whenever it is asked for, of a shaky tool every other one, of undos one in
forty. Of the others, three in a hundred happen when their
caller has given up, three happen and answer when it has, and some answers are lost. A call with a key that
it knows does nothing again. What comes in too late to land in time, as the machine is slow, is dropped.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

TIMEOUT = 1
_LATE = (TIMEOUT + 0.2, TIMEOUT + 3.8)  # after the caller's time, within what the engine waits for quiet
_LANDS = TIMEOUT + 4.0
"""Seconds after which a call that was sent lands no more, however slow this machine is."""

_REFUSED = {"shaky": 1 / 2, "back": 1 / 40}


class Outside:
    """What really happens."""

    def __init__(self, home: Path) -> None:
        self._record = sqlite3.connect(home / "outside.db", isolation_level=None)
        self._record.execute("PRAGMA journal_mode = WAL")
        self._record.execute("PRAGMA synchronous = OFF")
        self._record.execute(
            "CREATE TABLE calls (seq INTEGER PRIMARY KEY, action TEXT, tool TEXT, what TEXT, at REAL)"
        )
        self._keys: set[str] = set()
        self._chance = random.Random()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry out one call. That its caller dies changes nothing."""
        try:
            asked = json.loads(await reader.readline())
            answer = await self._happen(asked)
            if answer:
                writer.write(json.dumps({"answer": answer}).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            with suppress(OSError):
                writer.close()

    async def _happen(self, asked: dict[str, Any]) -> str:
        """Do it and return what to answer, nothing for an answer that is lost."""
        self._keep(asked, "received")
        if random.Random(f"{asked['tool']}:{asked['order']}").random() < _REFUSED.get(asked["tool"], 1 / 9):
            self._keep(asked, "refused")
            return "refused"
        drawn = self._chance.random()
        await asyncio.sleep(self._chance.uniform(*_LATE) if drawn < 0.03 else self._chance.random() * 0.03)
        if asyncio.get_running_loop().time() > asked["sent"] + _LANDS:
            self._keep(asked, "dropped")
            return ""
        if asked["key"] and asked["key"] in self._keys:
            self._keep(asked, "known")
        else:
            self._keys.add(asked["key"])
            self._keep(asked, "effect")
        if 0.03 <= drawn < 0.06:
            await asyncio.sleep(self._chance.uniform(*_LATE))
        return "" if 0.06 <= drawn < 0.08 else "done"

    def _keep(self, asked: dict[str, Any], what: str) -> None:
        now = asyncio.get_running_loop().time()
        self._record.execute(
            "INSERT INTO calls (action, tool, what, at) VALUES (?, ?, ?, ?)",
            (asked["action"], asked["tool"], what, now),
        )


async def main(home: Path) -> None:
    """Serve until killed."""
    outside = Outside(home)
    server = await asyncio.start_unix_server(outside.serve, home / "outside.sock", backlog=512)
    async with server:
        await server.serve_forever()
