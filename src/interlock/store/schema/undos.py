"""What undoes actions: the undo that was registered when one succeeded, and exercises of undos."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import at, key, maybe, number, of, table, text

undos = table(
    "undos",
    of("action", "actions.id", primary=True),
    text("tool"),
    maybe("arguments"),
    text("digest", ""),
    text("problem", ""),
    number("until", 0),
)

exercises = table(
    "exercises",
    key("id"),
    text("environment"),
    text("tool"),
    text("pin"),
    text("undo"),
    text("undo_pin"),
    text("server"),
    text("outcome"),
    text("problem", ""),
    text("by"),
    at("at"),
    sa.Index("exercises_by_tool", "environment", "tool", "at"),
)
