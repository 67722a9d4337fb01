"""The terms of the ladder as the manifest states them, and what it says of the models (B4)."""

from __future__ import annotations

from interlock.core.document.provider import ProviderModel
from interlock.core.document.spending import Budget, Models
from interlock.core.ladder import ModelFacts, ServerTools, Terms
from interlock.core.model import Ability


def terms_of(models: Models, budget: Budget) -> Terms:
    """Return the terms of a workflow: its models, and the budget that says what a hard limit does.

    Whether they hold in shadow depends on whose limit was passed, so whoever knows that says it. A role that
    is pinned may be asked for by its name, so it is mapped like its model.
    """
    roles = {role: models.degrade[name] for role, name in models.pin.items() if name in models.degrade}
    said = models.degraded
    return Terms(
        mode=budget.on_hard,
        swaps={**models.degrade, **roles},
        output_cap=said.output_cap,
        server_tools=ServerTools(said.server_tools),
        flex=said.flex,
        tell=said.tell,
    )


def facts_of(model: ProviderModel, *, window: int | None = None, max_output: int | None = None) -> ModelFacts:
    """Return what is known of a model: what its document says, and what its price row says beside it."""
    able = model.abilities
    return ModelFacts(
        window=model.window or window,
        max_output=model.max_output or max_output,
        reasons=None if able is None else Ability.REASONING in able,
        lacks=frozenset() if able is None else frozenset(Ability) - frozenset(able),
        regions=frozenset(model.regions),
    )
