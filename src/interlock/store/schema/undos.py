"""What undoes actions or makes them final: registered when one succeeded; and exercises of undos."""

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

second_steps = table(
    "second_steps",
    of("action", "actions.id", primary=True),
    text("kind"),
    text("tool"),
    maybe("arguments"),
    text("digest", ""),
    text("problem", ""),
    at("due_at"),
    text("second", ""),
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
