"""What teams declare: documents, the bundles compiled from them, and changes that wait for review."""

from __future__ import annotations

from interlock.store.schema.column import at, key, maybe, maybe_at, number, table, text

documents = table(
    "documents",
    key("kind"),
    key("name"),
    key("environment"),
    number("version"),
    text("body"),
    text("digest"),
    at("applied_at"),
    text("applied_by"),
)

bundles = table(
    "bundles",
    number("version", primary=True),
    key("environment"),
    text("digest"),
    text("body"),
    at("applied_at"),
    text("applied_by"),
)

heads = table(
    "heads",
    key("environment"),
    number("bundle_version"),
    text("bundle_digest"),
)

changes = table(
    "changes",
    key("id"),
    text("author"),
    at("created_at"),
    text("state"),
    number("base_version"),
    text("body"),
    text("summary"),
    maybe("decided_by"),
    maybe_at("decided_at"),
    maybe("reason"),
    text("restores", ""),
)
