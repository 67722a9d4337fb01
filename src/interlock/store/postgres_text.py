"""Text for PostgreSQL, which has no zero bytes: a tool server may put one into its error, which is kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from psycopg.adapt import Dumper
from sqlalchemy import event


class _Text(Dumper):
    """Text whose zero bytes, which SQLite keeps, are written as U+FFFD."""

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", "\ufffd").encode("utf-8", "replace")


def take_any_text(engine: sa.Engine) -> None:
    """Let every connection of `engine` take any text, on a server of whatever encoding."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.adapters.register_dumper(str, _Text)
