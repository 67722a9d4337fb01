"""Earned autonomy: how a workflow stands with a tool, its trials, its tiers so far, daily digests (F1, F3).

A trial is also the item of a digest: what a reviewer says about it is its label.
"""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import at, key, maybe, maybe_at, number, of, table, text

_WAITING = sa.text("state = 'open' AND digest IS NULL AND look IN ('review', 'audit')")

track_records = table(
    "track_records",
    key("environment"),
    key("workflow"),
    key("tool"),
    text("tier"),
    text("basis"),
    at("began_at"),
    number("clean", 0),
    number("failed", 0),
    number("alarm", 0),
    number("audit_alarm", 0),
    number("proposed_at", 0),
    sa.CheckConstraint("tier IN ('autonomous', 'async_review', 'sync_approval')"),
)

digests = table(
    "digests",
    key("id"),
    text("environment"),
    text("owner"),
    at("made_at"),
    number("items"),
    maybe("event"),
    maybe_at("opened_at"),
    maybe("opened_by"),
    sa.Index("digests_by_owner", "environment", "owner", "made_at"),
)

trials = table(
    "trials",
    of("action", "actions.id", primary=True),
    text("environment"),
    text("workflow"),
    text("tool"),
    text("run"),
    text("owner"),
    text("basis"),
    text("look"),
    text("state"),
    at("created_at"),
    at("matures_at"),
    sa.Column("digest", sa.Text, sa.ForeignKey("digests.id"), nullable=True),
    maybe("mark"),
    maybe("marked_by"),
    maybe_at("marked_at"),
    text("reason", ""),
    sa.CheckConstraint("look IN ('person', 'review', 'audit', 'none')"),
    sa.CheckConstraint("state IN ('open', 'clean', 'failed', 'unseen', 'merged', 'dropped')"),
    sa.CheckConstraint("mark IN ('fine', 'reverse', 'needs_rule')"),
    sa.Index("trials_by_record", "environment", "workflow", "tool", "state", "matures_at"),
    sa.Index("trials_by_run", "run", "tool"),
    sa.Index("trials_by_digest", "digest"),
    sa.Index("trials_to_review", "environment", "owner", sqlite_where=_WAITING, postgresql_where=_WAITING),
)

tier_changes = table(
    "tier_changes",
    key("id"),
    text("environment"),
    text("workflow"),
    text("tool"),
    text("from_tier"),
    text("to_tier"),
    text("cause"),
    text("person", ""),
    text("reason", ""),
    number("clean"),
    number("failed"),
    at("at"),
    sa.Index("tier_changes_by_tool", "environment", "workflow", "tool", "at"),
)
