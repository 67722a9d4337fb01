"""What agents do: actions with every move they made, decisions asked of people, pins, and timers."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.core.action import OPEN
from interlock.store.schema.column import at, clustered, key, maybe, maybe_at, number, of, table, text

_KEYED = sa.text("idempotency_key IS NOT NULL")
_OPEN_CALL = sa.text(
    f"state IN ({', '.join(repr(each.value) for each in sorted(OPEN))})"
    " AND idempotency_key IS NULL AND comp_of IS NULL AND follows IS NULL AND effect <> 'read'"
)
"""Where several processes take calls, identical ones meet in the database; elsewhere memory sees to that."""

actions = table(
    "actions",
    key("id"),
    text("run"),
    text("agent"),
    text("workflow"),
    number("workflow_version"),
    text("tool"),
    text("arguments"),
    text("digest"),
    text("state"),
    number("fence", 0),
    text("effect"),
    text("tier"),
    text("verdict"),
    text("bundle", ""),
    text("pin", ""),
    text("decision"),
    maybe("approval"),
    maybe("result"),
    maybe("error"),
    maybe("idempotency_key"),
    sa.Column("collected", sa.Boolean, nullable=False, server_default=sa.false()),
    maybe_at("due_at"),
    maybe_at("lease_until"),
    at("created_at"),
    at("updated_at"),
    maybe("owner_process"),
    text("principal"),
    maybe("input_state"),
    maybe("successor"),
    number("attempt", 0),
    maybe_at("began_at"),
    maybe_at("ended_at"),
    maybe("comp_of"),
    maybe_at("undo_until"),
    maybe("follows"),
    sa.Index("actions_by_undone", "comp_of", unique=True),
    sa.Index(
        "actions_by_key", "run", "idempotency_key", unique=True, sqlite_where=_KEYED, postgresql_where=_KEYED
    ),
    sa.Index("actions_open_once", "run", "tool", "digest", unique=True, postgresql_where=_OPEN_CALL).ddl_if(
        dialect="postgresql"
    ),
    sa.Index("actions_by_run", "run", "tool", "digest"),
    sa.Index("actions_by_state", "state", "due_at"),
)

action_moves = clustered(
    "action_moves",
    of("action", "actions.id", primary=True),
    number("seq", primary=True),
    maybe("from_state"),
    text("to_state"),
    at("at"),
    text("by", ""),
    text("reason", ""),
)

approvals = table(
    "approvals",
    key("id"),
    of("action", "actions.id"),
    text("state"),
    text("digest"),
    text("pin", ""),
    text("bundle", ""),
    at("requested_at"),
    at("expires_at"),
    text("approvers", "[]"),
    maybe("decided_by"),
    maybe_at("decided_at"),
    maybe("reason"),
    maybe("revision_of"),
    maybe("arguments"),
    text("requester", ""),
    text("revised_by", ""),
    text("stages", "[]"),
    number("level", 0),
    number("level_at", 0),
    number("sla", 0),
    number("reminder", 0),
    text("at_end", "expire"),
    number("needs", 1),
    text("kind", "approve"),
    maybe("answer"),
    sa.Index("approvals_by_action", "action"),
    sa.Index("approvals_by_state", "state", "expires_at"),
)

approval_votes = table(
    "approval_votes",
    of("approval", "approvals.id", primary=True),
    key("person"),
    at("at"),
    text("reason", ""),
)

pins = table(
    "pins",
    key("tool"),
    text("digest"),
    maybe("seen"),
    text("name"),
    text("description", ""),
    text("schema"),
    at("registered_at"),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    maybe("result_schema"),
)

timers = table(
    "timers",
    key("kind"),
    key("ref"),
    at("due_at"),
    text("environment", ""),
    sa.Index("timers_by_due", "due_at"),
)
