"""Every table of the control database, once, for both databases; one file for each area.

Names are plural nouns; ids are text; `*_at` columns are integer microseconds since the Unix epoch and NULL
says "not yet". Lists and objects are JSON in text columns. The numbered SQL in `migrations/` creates
exactly these tables; a test compares the two on SQLite and PostgreSQL.
"""

from __future__ import annotations

from interlock.store.schema.autonomy import (
    digests,
    tier_changes,
    track_records,
    trials,
)
from interlock.store.schema.breakers import (
    breaker_sign_offs,
    breakers,
    run_scores,
)
from interlock.store.schema.calls import (
    action_moves,
    actions,
    approval_votes,
    approvals,
    pins,
    timers,
)
from interlock.store.schema.column import metadata
from interlock.store.schema.deployments import (
    deployments,
    rollback_plans,
    state_decisions,
    state_reviews,
)
from interlock.store.schema.identities import (
    agents,
    api_tokens,
    enrolments,
    people,
    revocations,
    run_calls,
    runs,
    seen_assertions,
    signing_keys,
)
from interlock.store.schema.manifests import (
    bundles,
    changes,
    documents,
    heads,
)
from interlock.store.schema.money import (
    accounts,
    context_marks,
    context_sizes,
    epochs,
    holds,
    model_calls,
    originals,
    price_lists,
    prices,
    slices,
)
from interlock.store.schema.news import (
    news,
    news_numbers,
)
from interlock.store.schema.notices import (
    alert_events,
    alerts,
    deliveries,
    delivery_attempts,
    failure_modes,
    incidents,
    kill_reports,
    kills,
    runbooks,
)
from interlock.store.schema.records import (
    audit,
    chains,
    checkpoints,
)
from interlock.store.schema.undos import (
    exercises,
    second_steps,
    undos,
)

__all__ = [
    "accounts",
    "action_moves",
    "actions",
    "agents",
    "alert_events",
    "alerts",
    "api_tokens",
    "approval_votes",
    "approvals",
    "audit",
    "breaker_sign_offs",
    "breakers",
    "bundles",
    "chains",
    "changes",
    "checkpoints",
    "context_marks",
    "context_sizes",
    "deliveries",
    "delivery_attempts",
    "deployments",
    "digests",
    "documents",
    "enrolments",
    "epochs",
    "exercises",
    "failure_modes",
    "heads",
    "holds",
    "incidents",
    "kill_reports",
    "kills",
    "metadata",
    "model_calls",
    "news",
    "news_numbers",
    "originals",
    "people",
    "pins",
    "price_lists",
    "prices",
    "revocations",
    "rollback_plans",
    "run_calls",
    "run_scores",
    "runbooks",
    "runs",
    "second_steps",
    "seen_assertions",
    "signing_keys",
    "slices",
    "state_decisions",
    "state_reviews",
    "tier_changes",
    "timers",
    "track_records",
    "trials",
    "undos",
]
