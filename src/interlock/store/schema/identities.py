"""Who acts: people, agents, their runs, and the keys and revocations their tokens stand on."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import Serial, at, clustered, key, maybe, maybe_at, number, table, text

people = table(
    "people",
    key("name"),
    text("email", ""),
    maybe("password_hash"),
    text("roles", "[]"),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
)

api_tokens = table(
    "api_tokens",
    key("id"),
    text("person"),
    text("hash"),
    text("label", ""),
    maybe("roles"),
    text("created_by", ""),
    at("created_at"),
    maybe_at("expires_at"),
    maybe_at("revoked_at"),
    sa.UniqueConstraint("hash", name="api_tokens_hash"),
)

agents = table(
    "agents",
    key("name"),
    text("state"),
    number("epoch", 0),
    text("owner"),
    maybe("backup"),
    maybe_at("retired_at"),
    maybe("proof"),
)

enrolments = table(
    "enrolments",
    key("id"),
    text("agent"),
    text("kind"),
    maybe("hash"),
    maybe("jwk"),
    text("workflow", ""),
    text("created_by", ""),
    at("created_at"),
    maybe_at("expires_at"),
    maybe_at("used_at"),
    maybe("run"),
    sa.Index("enrolments_by_agent", "agent"),
    sa.UniqueConstraint("hash", name="enrolments_hash"),
)

seen_assertions = table(
    "seen_assertions",
    key("agent"),
    key("jti"),
    at("expires_at"),
)

runs = table(
    "runs",
    key("id"),
    text("workflow"),
    number("workflow_version"),
    text("agent"),
    text("environment"),
    text("state"),
    text("started_by"),
    at("opened_at"),
    maybe_at("closed_at"),
    maybe("reason"),
    maybe("parent"),
    text("labels", "[]"),
    number("lease_until", 0),
    maybe_at("deadline_at"),
    number("attended", 0),
    number("direct_models", 0),
    number("ungoverned", 0),
    text("aborting", ""),
    sa.Index("runs_by_state", "state", "agent"),
)

run_calls = clustered(
    "run_calls",
    key("run"),
    key("tool"),
    number("count", 0),
)

signing_keys = table(
    "signing_keys",
    key("kid"),
    text("environment"),
    text("public_jwk"),
    text("private_enc"),
    at("created_at"),
    at("signs_at"),
    maybe_at("retires_at"),
    maybe_at("revoked_at"),
)

revocations = table(
    "revocations",
    sa.Column("seq", Serial, sa.Identity(always=False), primary_key=True),
    text("kind"),
    text("subject"),
    at("at"),
    number("epoch", 0),
)
