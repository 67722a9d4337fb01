"""The manifest's words become the ladder's terms; what is not declared of a model is not held against it."""

from __future__ import annotations

from interlock.core.document.provider import ProviderModel
from interlock.core.document.spending import Budget, Degraded, Models
from interlock.core.ladder import ModelFacts, ServerTools
from interlock.core.model import Ability, OnHard
from interlock.core.terms import facts_of, terms_of


def test_a_workflow_states_its_own_terms() -> None:
    models = Models(
        pin={"main": "big", "side": "other"},
        degrade={"big": "small"},
        degraded=Degraded(output_cap=99, server_tools="limit", flex=True, tell=False),
    )
    terms = terms_of(models, Budget(on_hard=OnHard.SOFT))
    assert terms.swaps == {"big": "small", "main": "small"}
    assert (terms.mode, terms.shadow, terms.tell, terms.flex) == (OnHard.SOFT, False, False, True)
    assert (terms.output_cap, terms.server_tools) == (99, ServerTools.LIMIT)


def test_what_is_not_declared_is_not_known() -> None:
    assert facts_of(ProviderModel(name="m")) == ModelFacts()
    assert facts_of(ProviderModel(name="m"), window=8, max_output=4) == ModelFacts(window=8, max_output=4)


def test_what_is_declared_goes_before_the_price_list() -> None:
    declared = ProviderModel(
        name="m", window=5, max_output=3, abilities=(Ability.TOOLS, Ability.REASONING), regions=("eu",)
    )
    facts = facts_of(declared, window=8, max_output=4)
    assert (facts.window, facts.max_output, facts.reasons) == (5, 3, True)
    assert facts.lacks == {Ability.VISION, Ability.STRUCTURED}
    assert facts.regions == {"eu"}
