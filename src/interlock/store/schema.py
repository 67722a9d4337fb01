"""Every table of the control database, once, for both databases.

Names are plural nouns; ids are text; `*_at` columns are integer microseconds since the Unix epoch and NULL
says "not yet". Lists and objects are JSON in text columns. The numbered SQL in `migrations/` creates
exactly these tables; a test compares the two on SQLite and PostgreSQL.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    server = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.Text, nullable=False, server_default=server)


def _maybe(name: str) -> sa.Column[str | None]:
    return sa.Column(name, sa.Text, nullable=True)


def _number(name: str, default: int | None = None, *, key: bool = False) -> sa.Column[int]:
    server = None if default is None else sa.text(str(default))
    return sa.Column(
        name, sa.BigInteger, primary_key=key, nullable=False, server_default=server, autoincrement=False
    )


def _at(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _maybe_at(name: str) -> sa.Column[int | None]:
    return sa.Column(name, sa.BigInteger, nullable=True)


def _of(name: str, target: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, sa.ForeignKey(target), primary_key=key, nullable=False)


def _table(name: str, *parts: Any) -> sa.Table:
    return sa.Table(name, metadata, *parts)


def _clustered(name: str, *parts: Any) -> sa.Table:
    """A table that SQLite keeps in the order of its key: one page less to write for each row."""
    return sa.Table(name, metadata, *parts, sqlite_with_rowid=False)


documents = _table(
    "documents",
    _key("kind"),
    _key("name"),
    _key("environment"),
    _number("version"),
    _text("body"),
    _text("digest"),
    _at("applied_at"),
    _text("applied_by"),
)

bundles = _table(
    "bundles",
    _number("version", key=True),
    _key("environment"),
    _text("digest"),
    _text("body"),
    _at("applied_at"),
    _text("applied_by"),
)

heads = _table(
    "heads",
    _key("environment"),
    _number("bundle_version"),
    _text("bundle_digest"),
)

changes = _table(
    "changes",
    _key("id"),
    _text("author"),
    _at("created_at"),
    _text("state"),
    _number("base_version"),
    _text("body"),
    _text("summary"),
    _maybe("decided_by"),
    _maybe_at("decided_at"),
    _maybe("reason"),
)

people = _table(
    "people",
    _key("name"),
    _text("email", ""),
    _maybe("password_hash"),
    _text("roles", "[]"),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
)

api_tokens = _table(
    "api_tokens",
    _key("id"),
    _text("person"),
    _text("hash"),
    _text("label", ""),
    _maybe("roles"),
    _text("created_by", ""),
    _at("created_at"),
    _maybe_at("expires_at"),
    _maybe_at("revoked_at"),
    sa.UniqueConstraint("hash", name="api_tokens_hash"),
)

agents = _table(
    "agents",
    _key("name"),
    _text("state"),
    _number("epoch", 0),
    _text("owner"),
    _maybe("backup"),
    _maybe_at("retired_at"),
    _maybe("proof"),
)

enrolments = _table(
    "enrolments",
    _key("id"),
    _text("agent"),
    _text("kind"),
    _maybe("hash"),
    _maybe("jwk"),
    _text("workflow", ""),
    _text("created_by", ""),
    _at("created_at"),
    _maybe_at("expires_at"),
    _maybe_at("used_at"),
    _maybe("run"),
    sa.Index("enrolments_by_agent", "agent"),
    sa.UniqueConstraint("hash", name="enrolments_hash"),
)

seen_assertions = _table(
    "seen_assertions",
    _key("agent"),
    _key("jti"),
    _at("expires_at"),
)

runs = _table(
    "runs",
    _key("id"),
    _text("workflow"),
    _number("workflow_version"),
    _text("agent"),
    _text("environment"),
    _text("state"),
    _text("started_by"),
    _at("opened_at"),
    _maybe_at("closed_at"),
    _maybe("reason"),
    _maybe("parent"),
    _text("labels", "[]"),
    _number("lease_until", 0),
    _maybe_at("deadline_at"),
    _number("attended", 0),
    _number("direct_models", 0),
    _number("ungoverned", 0),
    sa.Index("runs_by_state", "state", "agent"),
)

run_calls = _clustered(
    "run_calls",
    _key("run"),
    _key("tool"),
    _number("count", 0),
)

signing_keys = _table(
    "signing_keys",
    _key("kid"),
    _text("environment"),
    _text("public_jwk"),
    _text("private_enc"),
    _at("created_at"),
    _at("signs_at"),
    _maybe_at("retires_at"),
    _maybe_at("revoked_at"),
)

revocations = _table(
    "revocations",
    sa.Column("seq", _Serial, sa.Identity(always=False), primary_key=True),
    _text("kind"),
    _text("subject"),
    _at("at"),
    _number("epoch", 0),
)

actions = _table(
    "actions",
    _key("id"),
    _text("run"),
    _text("agent"),
    _text("workflow"),
    _number("workflow_version"),
    _text("tool"),
    _text("arguments"),
    _text("digest"),
    _text("state"),
    _number("fence", 0),
    _text("effect"),
    _text("tier"),
    _text("verdict"),
    _text("bundle", ""),
    _text("pin", ""),
    _text("decision"),
    _maybe("approval"),
    _maybe("result"),
    _maybe("error"),
    _maybe("idempotency_key"),
    sa.Column("collected", sa.Boolean, nullable=False, server_default=sa.false()),
    _maybe_at("due_at"),
    _maybe_at("lease_until"),
    _at("created_at"),
    _at("updated_at"),
    _maybe("owner_process"),
    _text("principal"),
    _maybe("input_state"),
    _maybe("successor"),
    sa.Index("actions_by_run", "run", "tool", "digest"),
    sa.Index("actions_by_state", "state", "due_at"),
)

action_moves = _clustered(
    "action_moves",
    _of("action", "actions.id", key=True),
    _number("seq", key=True),
    _maybe("from_state"),
    _text("to_state"),
    _at("at"),
    _text("by", ""),
    _text("reason", ""),
)

approvals = _table(
    "approvals",
    _key("id"),
    _of("action", "actions.id"),
    _text("state"),
    _text("digest"),
    _text("pin", ""),
    _text("bundle", ""),
    _at("requested_at"),
    _at("expires_at"),
    _text("approvers", "[]"),
    _maybe("decided_by"),
    _maybe_at("decided_at"),
    _maybe("reason"),
    _maybe("revision_of"),
    _maybe("arguments"),
    _text("requester", ""),
    _text("revised_by", ""),
    sa.Index("approvals_by_action", "action"),
    sa.Index("approvals_by_state", "state", "expires_at"),
)

pins = _table(
    "pins",
    _key("tool"),
    _text("digest"),
    _maybe("seen"),
    _text("name"),
    _text("description", ""),
    _text("schema"),
    _at("registered_at"),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
)

audit = _clustered(
    "audit",
    _key("chain"),
    _number("seq", key=True),
    _at("at"),
    _text("kind"),
    _text("run", ""),
    _text("agent", ""),
    _text("workflow", ""),
    _text("tool", ""),
    _text("action", ""),
    _text("person", ""),
    _text("body"),
    _text("mac"),
    sa.Index("audit_by_time", "at"),
)

chains = _table(
    "chains",
    _key("id"),
    _text("process"),
    _text("key"),
    _at("opened_at"),
    _number("head_seq", 0),
    _text("head_mac"),
)

checkpoints = _table(
    "checkpoints",
    _key("id"),
    _at("at"),
    _text("heads"),
    _text("signature"),
    _text("kid"),
)

timers = _table(
    "timers",
    _key("kind"),
    _key("ref"),
    _at("due_at"),
    sa.Index("timers_by_due", "due_at"),
)

accounts = _table(
    "accounts",
    _key("id"),
    _text("environment"),
    _text("kind"),
    _text("name"),
    _text("per"),
    _at("starts_at"),
    _number("allowance"),
    _number("ceiling"),
    _number("spent", 0),
    _number("leased", 0),
    sa.Index("accounts_by_name", "environment", "kind", "name"),
    sa.Index("accounts_by_start", "environment", "starts_at"),
)

epochs = _table(
    "epochs",
    _key("id"),
    _text("environment"),
    _text("state"),
    _at("opened_at"),
    _at("lease_until"),
    sa.Index("epochs_by_state", "environment", "state"),
)

slices = _table(
    "slices",
    _of("epoch", "epochs.id", key=True),
    _of("account", "accounts.id", key=True),
    _number("amount", 0),
    _number("charged", 0),
    _number("journaled", 0),
    sa.Index("slices_by_account", "account"),
)

holds = _table(
    "holds",
    _key("attempt"),
    _of("epoch", "epochs.id"),
    _text("accounts"),
    _number("expected"),
    _number("most"),
    _text("state"),
    _number("cost", 0),
    _at("held_at"),
    _maybe_at("ended_at"),
    sa.Index("holds_by_epoch", "epoch", "state"),
)

model_calls = _table(
    "model_calls",
    _key("attempt"),
    _text("kind"),
    _text("environment"),
    _text("run"),
    _text("root_run"),
    _text("workflow"),
    _number("version"),
    _text("agent"),
    _text("team", ""),
    _text("organisation", ""),
    _text("customer", ""),
    _text("provider"),
    _text("requested_model"),
    _text("served_model"),
    _text("price_version", ""),
    _number("input_uncached", 0),
    _number("cache_read", 0),
    _number("cache_write_5m", 0),
    _number("cache_write_1h", 0),
    _number("output", 0),
    _number("reasoning", 0),
    _text("tools", "{}"),
    _text("usage_source"),
    _number("cost"),
    _number("held_exp"),
    _number("held_max"),
    _text("ending"),
    _text("degraded", "[]"),
    _number("context_tokens", 0),
    _at("started_at"),
    _at("ended_at"),
    _text("step", ""),
    _text("accounts", "[]"),
    sa.Index("model_calls_by_run", "run"),
    sa.Index("model_calls_by_root", "root_run"),
    sa.Index("model_calls_by_time", "started_at"),
)


def _said(*columns: str) -> list[sa.CheckConstraint]:
    """What must say something: a blank does not count."""
    return [sa.CheckConstraint(f"trim({column}) <> ''") for column in columns]


runbooks = _table(
    "runbooks",
    _key("environment"),
    _key("name"),
    _text("owner"),
    _text("baseline"),
    _text("escalation"),
    _text("rollback"),
    _at("applied_at"),
    *_said("owner", "baseline", "escalation", "rollback"),
)

failure_modes = _table(
    "failure_modes",
    _key("environment"),
    _key("runbook"),
    _key("name"),
    _text("symptoms"),
    _text("first_action"),
    _text("escalate_when"),
    sa.ForeignKeyConstraint(["environment", "runbook"], ["runbooks.environment", "runbooks.name"]),
    *_said("name", "symptoms", "first_action", "escalate_when"),
)

alerts = _table(
    "alerts",
    _key("id"),
    _text("environment"),
    _text("kind"),
    _text("runbook"),
    _text("failure_mode"),
    _text("severity"),
    sa.Column("retired", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.ForeignKeyConstraint(
        ["environment", "runbook", "failure_mode"],
        ["failure_modes.environment", "failure_modes.runbook", "failure_modes.name"],
    ),
    sa.UniqueConstraint("environment", "runbook", "failure_mode", name="alerts_own_entry"),
    sa.CheckConstraint("severity IN ('page', 'ticket')"),
    *_said("kind"),
)

incidents = _table(
    "incidents",
    _key("id"),
    _text("environment"),
    _text("kind"),
    _text("subject"),
    _text("state"),
    _text("summary"),
    _at("opened_at"),
    _text("opened_by", ""),
    _maybe_at("closed_at"),
    _maybe("closed_by"),
    _maybe("reason"),
    sa.CheckConstraint("state IN ('open', 'closed')"),
    sa.Index("incidents_by_state", "environment", "state"),
)

alert_events = _table(
    "alert_events",
    _key("id"),
    _of("alert", "alerts.id"),
    _text("environment"),
    _text("kind"),
    _text("subject"),
    _text("period"),
    _text("severity"),
    _text("summary"),
    _text("facts", "{}"),
    _at("at"),
    sa.Column("incident", sa.Text, sa.ForeignKey("incidents.id"), nullable=True),
    sa.UniqueConstraint("environment", "kind", "subject", "period", name="alert_events_once"),
)

deliveries = _table(
    "deliveries",
    _key("id"),
    _of("event", "alert_events.id"),
    _text("environment"),
    _text("name"),
    _text("channel"),
    _text("target"),
    _text("key_ref", ""),
    _text("state"),
    _number("attempts", 0),
    _at("created_at"),
    _at("due_at"),
    _number("lease_until", 0),
    _maybe_at("ended_at"),
    _text("problem", ""),
    sa.Index("deliveries_by_event", "event"),
    sa.Index("deliveries_by_state", "environment", "state", "due_at"),
)

delivery_attempts = _table(
    "delivery_attempts",
    _of("delivery", "deliveries.id", key=True),
    _number("seq", key=True),
    _at("at"),
    _number("took"),
    _text("outcome"),
    _text("detail", ""),
)

kills = _table(
    "kills",
    _key("id"),
    _text("environment"),
    _text("subject"),
    _text("level"),
    _text("reason"),
    _text("source"),
    _text("pressed_by"),
    _at("pressed_at"),
    _text("state"),
    _maybe("proposed_by"),
    _maybe_at("proposed_at"),
    _maybe("proposed_reason"),
    _maybe("resumed_by"),
    _maybe_at("resumed_at"),
    _maybe("resumed_reason"),
    _maybe("alone"),
    sa.Column("incident", sa.Text, sa.ForeignKey("incidents.id"), nullable=True),
    sa.CheckConstraint("level IN ('pause', 'freeze', 'stop')"),
    sa.CheckConstraint("state IN ('in_force', 'proposed', 'resumed')"),
    sa.CheckConstraint(
        "state <> 'resumed' OR (proposed_by IS NOT NULL AND resumed_by IS NOT NULL"
        " AND (proposed_by <> resumed_by OR alone IS NOT NULL))"
    ),
    sa.Index("kills_by_state", "state"),
)

kill_reports = _table(
    "kill_reports",
    _of("kill", "kills.id", key=True),
    _key("process"),
    _text("environment"),
    _at("at"),
    _text("body"),
)

price_lists = _table(
    "price_lists",
    _number("version", key=True),
    _text("source"),
    _text("digest"),
    _text("providers"),
    _text("models"),
    _at("imported_at"),
    _text("imported_by"),
)

prices = _table(
    "prices",
    _key("provider"),
    _key("model"),
    _number("version", key=True),
    sa.Column("list", sa.BigInteger, sa.ForeignKey("price_lists.version"), nullable=False),
    _text("body"),
)

context_sizes = _table(
    "context_sizes",
    _key("environment"),
    _key("workflow"),
    _number("version", key=True),
    _key("model"),
    _number("starts_at", key=True),
    _number("bucket", key=True),
    _number("calls"),
    _number("tokens"),
)

context_marks = _table("context_marks", _key("environment"), _at("summed_at"))

originals = _table(
    "originals",
    _key("id"),
    _text("run"),
    _text("agent"),
    _text("tool"),
    _number("size"),
    _text("body"),
    _at("kept_at"),
    _at("expires_at"),
    sa.Index("originals_by_run", "run"),
    sa.Index("originals_by_end", "expires_at"),
)
