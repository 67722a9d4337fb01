"""Circuit breakers, the signatures that closed them, and the scores of runs (E1, E2).

`signed` repeats the state that a person signed. Together with the key and the number of the opening it must
be a row of `breaker_sign_offs`, so no statement makes a breaker that has opened anything but open without one
(invariant 7). What a constraint cannot say, triggers of the migration do: an opening's number never goes
back, each opening takes a new one, a sign-off is of the opening that stands, and no row is taken away.
"""

from __future__ import annotations

import sqlalchemy as sa

from interlock.store.schema.column import at, key, maybe, maybe_at, number, of, said, table, text

breaker_sign_offs = table(
    "breaker_sign_offs",
    key("environment"),
    key("kind"),
    key("name"),
    number("opening", primary=True),
    key("to_state"),
    text("from_state"),
    of("person", "people.name"),
    text("reason"),
    at("at"),
    maybe("incident"),
    number("clean_runs", 0),
    sa.CheckConstraint("to_state IN ('half_open', 'closed')"),
    sa.CheckConstraint("from_state = 'open' OR (from_state = 'half_open' AND to_state = 'closed')"),
    *said("person", "reason"),
)

breakers = table(
    "breakers",
    key("environment"),
    key("kind"),
    key("name"),
    text("state"),
    number("opening", 0),
    maybe("signed"),
    text("cause", ""),
    text("why", ""),
    text("opened_by", ""),
    text("run", ""),
    text("starter", ""),
    maybe("incident"),
    maybe_at("opened_at"),
    at("changed_at"),
    number("failures", 0),
    number("low_runs", 0),
    number("clean_runs", 0),
    sa.CheckConstraint("kind IN ('tool', 'workflow', 'agent')"),
    sa.CheckConstraint(
        "(opening = 0 AND state = 'closed' AND signed IS NULL)"
        " OR (opening > 0 AND state = 'open' AND signed IS NULL)"
        " OR (opening > 0 AND state IN ('half_open', 'closed') AND signed IS NOT NULL AND signed = state)"
    ),
    sa.ForeignKeyConstraint(
        ["environment", "kind", "name", "opening", "signed"],
        [
            "breaker_sign_offs.environment",
            "breaker_sign_offs.kind",
            "breaker_sign_offs.name",
            "breaker_sign_offs.opening",
            "breaker_sign_offs.to_state",
        ],
    ),
)

run_scores = table(
    "run_scores",
    of("run", "runs.id", primary=True),
    key("key"),
    text("name"),
    number("value"),
    text("source"),
    text("evaluator", ""),
    text("by"),
    at("at"),
    sa.CheckConstraint("value >= 0 AND value <= 10000"),
)
