"""What a workflow can spend at worst: the models in its scope, and what stops its spending (A4, B2, B5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from interlock.core.budget import AccountKey, ScopeKind
from interlock.core.bundle import Bundle
from interlock.core.model_route import Route, permits
from interlock.core.payer import payers
from interlock.core.workflow import CompiledWorkflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """One limit and what is never passed, in nano-dollars; `most` is None in shadow, which stops nothing."""

    scope: str
    window: str
    limit: int
    most: int | None


def models_in_scope(bundle: Bundle, workflow: CompiledWorkflow) -> tuple[str, ...]:
    """Return every model that the workflow may call, as provider/name."""
    return tuple(sorted(_permitted(bundle, workflow)))


def _permitted(bundle: Bundle, workflow: CompiledWorkflow) -> Iterator[str]:
    for provider in bundle.providers.values():
        for model in provider.models:
            route = Route(provider=provider, model=model)
            if permits(workflow.document.models, route):
                yield route.label


def ceilings(bundle: Bundle, workflow: CompiledWorkflow, now: int) -> tuple[Ceiling, ...]:
    """Return every limit that a run of it pays into: of its workflow, agent, teams, organisation."""
    name = workflow.document.name
    return tuple(
        Ceiling(
            scope=_scope(payer.key, name),
            window=payer.key.window.value,
            limit=payer.limits.limit,
            most=None if payer.limits.shadow else payer.limits.ceiling,
        )
        for payer in payers(bundle, (("", name),), now)
    )


def _scope(key: AccountKey, workflow: str) -> str:
    if key.kind is ScopeKind.RUN:
        return f"workflow {workflow}"
    return f"{key.kind} {key.name.removesuffix('/')}"
