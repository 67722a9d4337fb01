"""What runs where: deployments of workflow versions, and the reviews of what they left behind."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import at, key, maybe, maybe_at, number, of, table, text

deployments = table(
    "deployments",
    key("id"),
    text("environment"),
    text("workflow"),
    number("version"),
    number("bundle"),
    at("at"),
    text("by"),
    text("code", ""),
    text("restores", ""),
    maybe_at("stable_at"),
    text("stable_by", ""),
    maybe_at("withdrawn_at"),
    sa.Index("deployments_by_workflow", "environment", "workflow", "at"),
)

state_reviews = table(
    "state_reviews",
    key("id"),
    text("environment"),
    text("workflow"),
    of("deployment", "deployments.id"),
    at("since"),
    text("owner"),
    text("reason"),
    at("opened_at"),
    text("opened_by"),
    maybe_at("closed_at"),
    maybe("closed_by"),
    sa.Index("state_reviews_by_workflow", "environment", "workflow"),
)

state_decisions = table(
    "state_decisions",
    of("review", "state_reviews.id", primary=True),
    of("action", "actions.id", primary=True),
    text("decision"),
    text("person"),
    text("reason", ""),
    at("at"),
    sa.CheckConstraint("decision IN ('undo', 'keep')"),
)

rollback_plans = table(
    "rollback_plans",
    key("id"),
    of("review", "state_reviews.id"),
    text("digest"),
    text("body"),
    text("signature"),
    text("kid"),
    text("person"),
    at("at"),
    sa.Index("rollback_plans_by_review", "review"),
)
