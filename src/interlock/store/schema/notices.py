"""What people are told: runbooks, alerts, incidents, deliveries and kills."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import at, key, maybe, maybe_at, number, of, said, table, text

runbooks = table(
    "runbooks",
    key("environment"),
    key("name"),
    text("owner"),
    text("baseline"),
    text("escalation"),
    text("rollback"),
    at("applied_at"),
    *said("owner", "baseline", "escalation", "rollback"),
)

failure_modes = table(
    "failure_modes",
    key("environment"),
    key("runbook"),
    key("name"),
    text("symptoms"),
    text("first_action"),
    text("escalate_when"),
    sa.ForeignKeyConstraint(["environment", "runbook"], ["runbooks.environment", "runbooks.name"]),
    *said("name", "symptoms", "first_action", "escalate_when"),
)

alerts = table(
    "alerts",
    key("id"),
    text("environment"),
    text("kind"),
    text("runbook"),
    text("failure_mode"),
    text("severity"),
    sa.Column("retired", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.ForeignKeyConstraint(
        ["environment", "runbook", "failure_mode"],
        ["failure_modes.environment", "failure_modes.runbook", "failure_modes.name"],
    ),
    sa.UniqueConstraint("environment", "runbook", "failure_mode", name="alerts_own_entry"),
    sa.CheckConstraint("severity IN ('page', 'ticket')"),
    *said("kind"),
)

incidents = table(
    "incidents",
    key("id"),
    text("environment"),
    text("kind"),
    text("subject"),
    text("state"),
    text("summary"),
    at("opened_at"),
    text("opened_by", ""),
    maybe_at("closed_at"),
    maybe("closed_by"),
    maybe("reason"),
    sa.CheckConstraint("state IN ('open', 'closed')"),
    sa.Index("incidents_by_state", "environment", "state"),
)

alert_events = table(
    "alert_events",
    key("id"),
    of("alert", "alerts.id"),
    text("environment"),
    text("kind"),
    text("subject"),
    text("period"),
    text("severity"),
    text("summary"),
    text("facts", "{}"),
    at("at"),
    sa.Column("incident", sa.Text, sa.ForeignKey("incidents.id"), nullable=True),
    sa.UniqueConstraint("environment", "kind", "subject", "period", name="alert_events_once"),
)

deliveries = table(
    "deliveries",
    key("id"),
    sa.Column("event", sa.Text, sa.ForeignKey("alert_events.id"), nullable=True),
    text("environment"),
    text("name"),
    text("channel"),
    text("target"),
    text("key_ref", ""),
    text("state"),
    number("attempts", 0),
    at("created_at"),
    at("due_at"),
    number("lease_until", 0),
    maybe_at("ended_at"),
    text("problem", ""),
    maybe("action"),
    sa.Column("move", sa.BigInteger, nullable=True),
    sa.ForeignKeyConstraint(["action", "move"], ["action_moves.action", "action_moves.seq"]),
    sa.CheckConstraint(
        "(event IS NOT NULL AND action IS NULL AND move IS NULL)"
        " OR (event IS NULL AND action IS NOT NULL AND move IS NOT NULL)"
    ),
    sa.Index("deliveries_by_action", "action", "move"),
    sa.Index("deliveries_by_event", "event"),
    sa.Index("deliveries_by_state", "environment", "state", "due_at"),
)

delivery_attempts = table(
    "delivery_attempts",
    of("delivery", "deliveries.id", primary=True),
    number("seq", primary=True),
    at("at"),
    number("took"),
    text("outcome"),
    text("detail", ""),
)

kills = table(
    "kills",
    key("id"),
    text("environment"),
    text("subject"),
    text("level"),
    text("reason"),
    text("source"),
    text("pressed_by"),
    at("pressed_at"),
    text("state"),
    maybe("proposed_by"),
    maybe_at("proposed_at"),
    maybe("proposed_reason"),
    maybe("resumed_by"),
    maybe_at("resumed_at"),
    maybe("resumed_reason"),
    maybe("alone"),
    sa.Column("incident", sa.Text, sa.ForeignKey("incidents.id"), nullable=True),
    sa.CheckConstraint("level IN ('pause', 'freeze', 'stop')"),
    sa.CheckConstraint("state IN ('in_force', 'proposed', 'resumed')"),
    sa.CheckConstraint(
        "state <> 'resumed' OR (proposed_by IS NOT NULL AND resumed_by IS NOT NULL"
        " AND (proposed_by <> resumed_by OR alone IS NOT NULL))"
    ),
    sa.Index("kills_by_state", "state"),
)

kill_reports = table(
    "kill_reports",
    of("kill", "kills.id", primary=True),
    key("process"),
    text("environment"),
    at("at"),
    text("body"),
)
