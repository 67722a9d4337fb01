"""The audit: its chains, their entries and the signed checkpoints over them."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import at, clustered, key, number, table, text

audit = clustered(
    "audit",
    key("chain"),
    number("seq", primary=True),
    at("at"),
    text("kind"),
    text("run", ""),
    text("agent", ""),
    text("workflow", ""),
    text("tool", ""),
    text("action", ""),
    text("person", ""),
    text("body"),
    text("mac"),
    sa.Index("audit_by_time", "at"),
)

chains = table(
    "chains",
    key("id"),
    text("process"),
    text("key"),
    at("opened_at"),
    number("head_seq", 0),
    text("head_mac"),
)

checkpoints = table(
    "checkpoints",
    key("id"),
    at("at"),
    text("heads"),
    text("signature"),
    text("kid"),
)
