"""One unit of work as the writer runs it: a connection, one moment in time, ids, audit entries, effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.model import Json
from interlock.runtime import Ids
from interlock.store.audit import Draft
from interlock.store.news import Item, Topic

_CAP = 512

Follower = Callable[["Transaction", Action | None, Action], None]
"""What follows from a move of an action, in the same commit: given it before (None: it is new) and after.

It must not move that action again, and what it changes in memory it does by `on_commit`.
"""

Landing = Callable[
    ["Transaction", Action, ActionState, Mapping[str, Any]], tuple[ActionState, Mapping[str, Any]]
]
"""Where an action really goes that is about to move with given changes, and what else of it changes."""


class Transaction:
    """What a unit of work may use. It lives only while the unit runs; the store commits, never the unit.

    `now` is microseconds since the epoch, the same for the whole unit, and never earlier than in a
    unit that ran before. `environment` is the one that this process serves.
    """

    __slots__ = (
        "connection",
        "drafts",
        "effects",
        "environment",
        "followers",
        "ids",
        "landing",
        "news",
        "now",
    )

    def __init__(
        self,
        connection: sa.Connection,
        *,
        now: int,
        ids: Ids,
        followers: Sequence[Follower] = (),
        landing: Landing | None = None,
        environment: str = "",
    ) -> None:
        self.connection = connection
        self.now = now
        self.ids = ids
        self.followers = followers
        self.landing = landing
        self.environment = environment
        self.drafts: list[Draft] = []
        self.effects: list[Callable[[], None]] = []
        self.news: list[Item] = []

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
        body: Mapping[str, Json] | str,
    ) -> None:
        """Record what happened, in the same commit (A6). No secret, no argument value belongs in `body`.

        A body that is text is JSON already.
        """
        self.drafts.append(draft(self.now, (kind, run, agent, workflow, tool, action, person), body))

    def moved(self, was: Action | None, now: Action) -> None:
        """Tell everything that follows from a move of an action. Only `actions.insert` and `move` call it."""
        for follow in self.followers:
            follow(self, was, now)

    def tell(self, topic: Topic, subject: str = "", *, environment: str = "") -> None:
        """Let other processes on this database know, in the same commit, what they must read anew.

        Without an `environment` it concerns all of them.
        """
        self.news.append(Item(topic, subject, environment))

    def on_commit(self, effect: Callable[[], None]) -> None:
        """Run `effect` on the caller's event loop once this is committed.

        Effects run in commit order, before the awaiter of the unit wakes. They must not fail.
        """
        self.effects.append(effect)


def draft(at: int, fields: tuple[str, ...], body: object) -> Draft:
    """Return what an audit entry says: `kind` to `person`, and the body, as JSON text or for msgspec."""
    text = body if type(body) is str else _encode(body).decode()
    return (at, *_plain(fields), text)  # pyright: ignore[reportReturnType]


def _plain(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return texts that both databases can store: no NUL, no lone surrogate, at most 512 characters."""
    together = "".join(fields)
    if len(together) <= _CAP and together.isascii() and "\0" not in together:
        return fields
    return tuple([text[:_CAP].replace("\0", "\ufffd").encode("utf-8", "replace").decode() for text in fields])


_encode = msgspec.json.Encoder().encode
