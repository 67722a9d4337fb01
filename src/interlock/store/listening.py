"""Listening for news on PostgreSQL: a connection of its own that does nothing but wait to be woken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from interlock.errors import StoreUnavailable
from interlock.store.news import CHANNEL


async def listen(engine: sa.Engine, heard: Callable[[], None]) -> None:
    """Call `heard` once the connection listens, and for every commit with news from then on.

    Returns never: raises `StoreUnavailable` when the connection cannot be made or is lost.
    """
    import psycopg

    where, options = engine.dialect.create_connect_args(engine.url)
    try:
        options = {**options, "autocommit": True, "application_name": "interlock news", "connect_timeout": 5}
        connection: Any = await psycopg.AsyncConnection.connect(*where, **options)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            heard()
            async for _ in connection.notifies():
                heard()
    except psycopg.Error as error:
        raise StoreUnavailable(
            f"The connection that listens for news was lost: {type(error).__name__}.",
            hint="Interlock connects again by itself, and looks for news every second meanwhile.",
        ) from error
    raise StoreUnavailable("The connection that listens for news has ended.")
