"""What is spent: accounts, leased slices, holds, the ledger of model calls, prices and context sizes."""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import at, key, maybe_at, number, of, table, text

accounts = table(
    "accounts",
    key("id"),
    text("environment"),
    text("kind"),
    text("name"),
    text("per"),
    at("starts_at"),
    number("allowance"),
    number("ceiling"),
    number("spent", 0),
    number("leased", 0),
    sa.Index("accounts_by_name", "environment", "kind", "name"),
    sa.Index("accounts_by_start", "environment", "starts_at"),
)

epochs = table(
    "epochs",
    key("id"),
    text("environment"),
    text("state"),
    at("opened_at"),
    at("lease_until"),
    sa.Index("epochs_by_state", "environment", "state"),
)

slices = table(
    "slices",
    of("epoch", "epochs.id", primary=True),
    of("account", "accounts.id", primary=True),
    number("amount", 0),
    number("charged", 0),
    number("journaled", 0),
    sa.Index("slices_by_account", "account"),
)

holds = table(
    "holds",
    key("attempt"),
    of("epoch", "epochs.id"),
    text("accounts"),
    number("expected"),
    number("most"),
    text("state"),
    number("cost", 0),
    at("held_at"),
    maybe_at("ended_at"),
    sa.Index("holds_by_epoch", "epoch", "state"),
)

model_calls = table(
    "model_calls",
    key("attempt"),
    text("kind"),
    text("environment"),
    text("run"),
    text("root_run"),
    text("workflow"),
    number("version"),
    text("agent"),
    text("team", ""),
    text("organisation", ""),
    text("customer", ""),
    text("provider"),
    text("requested_model"),
    text("served_model"),
    text("price_version", ""),
    number("input_uncached", 0),
    number("cache_read", 0),
    number("cache_write_5m", 0),
    number("cache_write_1h", 0),
    number("output", 0),
    number("reasoning", 0),
    text("tools", "{}"),
    text("usage_source"),
    number("cost"),
    number("held_exp"),
    number("held_max"),
    text("ending"),
    text("degraded", "[]"),
    number("context_tokens", 0),
    at("started_at"),
    at("ended_at"),
    text("step", ""),
    text("accounts", "[]"),
    sa.Index("model_calls_by_run", "run"),
    sa.Index("model_calls_by_root", "root_run"),
    sa.Index("model_calls_by_time", "started_at"),
)

price_lists = table(
    "price_lists",
    number("version", primary=True),
    text("source"),
    text("digest"),
    text("providers"),
    text("models"),
    at("imported_at"),
    text("imported_by"),
)

prices = table(
    "prices",
    key("provider"),
    key("model"),
    number("version", primary=True),
    sa.Column("list", sa.BigInteger, sa.ForeignKey("price_lists.version"), nullable=False),
    text("body"),
)

context_sizes = table(
    "context_sizes",
    key("environment"),
    key("workflow"),
    number("version", primary=True),
    key("model"),
    number("starts_at", primary=True),
    number("bucket", primary=True),
    number("calls"),
    number("tokens"),
)

context_marks = table("context_marks", key("environment"), at("summed_at"))

originals = table(
    "originals",
    key("id"),
    text("run"),
    text("agent"),
    text("tool"),
    number("size"),
    text("body"),
    at("kept_at"),
    at("expires_at"),
    sa.Index("originals_by_run", "run"),
    sa.Index("originals_by_end", "expires_at"),
)
