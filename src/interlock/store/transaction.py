"""One unit of work as the writer runs it: a connection, one moment in time, ids, audit entries, effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.model import Json
from interlock.runtime import Ids
from interlock.store.audit import Draft

_CAP = 512


class Transaction:
    """What a unit of work may use. It lives only while the unit runs; the store commits, never the unit.

    `now` is microseconds since the epoch, the same for the whole unit, and never earlier than in a
    unit that ran before.
    """

    __slots__ = ("connection", "drafts", "effects", "ids", "now")

    def __init__(self, connection: sa.Connection, *, now: int, ids: Ids) -> None:
        self.connection = connection
        self.now = now
        self.ids = ids
        self.drafts: list[Draft] = []
        self.effects: list[Callable[[], None]] = []

    def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[Any]:
        """Run one statement and return its result."""
        return self.connection.execute(statement, parameters)  # pyright: ignore[reportReturnType]

    def audit(
        self,
        kind: str,
        *,
        run: str = "",
        agent: str = "",
        workflow: str = "",
        tool: str = "",
        action: str = "",
        person: str = "",
        body: Mapping[str, Json],
    ) -> None:
        """Record what happened, in the same commit (A6). No secret, no argument value belongs in `body`."""
        fields = (kind, run, agent, workflow, tool, action, person)
        self.drafts.append((self.now, *map(plain, fields), encode_body(body)))  # pyright: ignore[reportArgumentType]

    def on_commit(self, effect: Callable[[], None]) -> None:
        """Run `effect` on the caller's event loop once this is committed.

        Effects run in commit order, before the awaiter of the unit wakes. They must not fail.
        """
        self.effects.append(effect)


def plain(text: str) -> str:
    """Return text that both databases can store: no NUL, no lone surrogate, at most 512 characters."""
    if text.isascii() and len(text) <= _CAP and "\0" not in text:
        return text
    return text[:_CAP].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def encode_body(body: object) -> str:
    """Return the body of an audit entry as JSON text."""
    return msgspec.json.encode(body).decode()
