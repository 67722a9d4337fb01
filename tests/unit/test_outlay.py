"""Which models a workflow may call, and every limit that stops its spending (A4, B2)."""

from __future__ import annotations

from interlock.core.document.identity import Organisation, Team
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.spending import Budget, Models
from interlock.core.model import WireFamily
from interlock.core.outlay import Ceiling, ceilings, models_in_scope
from support.policies import NOW, a_bundle, a_workflow

DOLLAR = 10**9
PROVIDER = Provider(
    name="openai",
    base_url="https://x",
    wire_formats=(WireFamily.OPENAI,),
    models=(ProviderModel(name="small"), ProviderModel(name="large")),
)


def test_the_models_in_scope_are_named_with_their_provider() -> None:
    for models, expected in (
        (Models(), ()),
        (Models(pin={"main": "large"}), ("openai/large",)),
        (Models(allow=("*",)), ("openai/large", "openai/small")),
    ):
        bundle = a_bundle(a_workflow(models=models), PROVIDER)
        assert models_in_scope(bundle, bundle.workflows["refunds"]) == expected


def test_every_limit_that_a_run_pays_into_is_named() -> None:
    flow = a_workflow(budget=Budget(run=2 * DOLLAR, day=20 * DOLLAR, kill=2_000))
    team = Team(name="leads", members=("maria",), budget=Budget(run=DOLLAR, hour=DOLLAR, shadow=True))
    bundle = a_bundle(flow, team, Organisation(name="acme", budget=Budget(month=DOLLAR)))
    assert ceilings(bundle, bundle.workflows["refunds"], NOW) == (
        Ceiling(scope="workflow refunds", window="run", limit=2 * DOLLAR, most=4 * DOLLAR),
        Ceiling(scope="workflow refunds", window="day", limit=20 * DOLLAR, most=40 * DOLLAR),
        Ceiling(scope="team leads", window="run", limit=DOLLAR, most=None),
        Ceiling(scope="team leads", window="hour", limit=DOLLAR, most=None),
        Ceiling(scope="organisation acme", window="month", limit=DOLLAR, most=DOLLAR * 3 // 2),
    )


def test_without_a_budget_nothing_limits_it() -> None:
    bundle = a_bundle()
    assert ceilings(bundle, bundle.workflows["refunds"], NOW) == ()
