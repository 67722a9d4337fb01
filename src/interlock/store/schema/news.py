"""What one process changed that the others decide on, numbered in the order of the commits."""

from __future__ import annotations

from interlock.store.schema.column import at, key, number, table

news = table(
    "news",
    number("number", primary=True),
    key("topic"),
    key("environment"),
    key("subject"),
    at("at"),
)

news_numbers = table(
    "news_numbers",
    number("one", primary=True),
    number("number"),
)
