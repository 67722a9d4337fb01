"""Which provider a model call goes to: scope permits, names are resolved, nothing is translated (A3, B4)."""

from __future__ import annotations

from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.spending import Models
from interlock.core.model import Reason, WireFamily
from interlock.core.model_route import Route, RoutingTable, permits

OPENAI, ANTHROPIC = WireFamily.OPENAI, WireFamily.ANTHROPIC
ANYTHING = Models(allow=("*",))


def a_provider(
    name: str, *models: str, family: WireFamily = OPENAI, **fallbacks: tuple[str, ...]
) -> Provider:
    return Provider(
        name=name,
        base_url=f"https://{name}.example/v1",
        wire_formats=(family,),
        models=tuple(ProviderModel(name=model) for model in models),
        fallbacks=fallbacks,
    )


TABLE = RoutingTable(
    [
        a_provider("acme", "big", "small", big=("backup/big", "acme/small", "nobody/big")),
        a_provider("backup", "big"),
        a_provider("claude", "opus", family=ANTHROPIC),
    ]
)


def chosen(models: Models, asked: str, family: WireFamily = OPENAI) -> list[str] | str:
    found = TABLE.choose(models, asked, family)
    return found.code if isinstance(found, Reason) else [route.label for route in found]


def test_a_model_goes_to_the_first_provider_that_serves_it() -> None:
    assert chosen(ANYTHING, "small") == ["acme/small"]
    assert chosen(ANYTHING, "backup/big") == ["backup/big"]


def test_fallbacks_follow_in_the_order_of_the_map_where_they_exist() -> None:
    assert chosen(ANYTHING, "big") == ["acme/big", "backup/big", "acme/small"]


def test_a_fallback_outside_the_scope_is_none() -> None:
    assert chosen(Models(allow=("acme/big",)), "big") == ["acme/big"]


def test_a_role_stands_for_the_model_that_is_pinned() -> None:
    models = Models(pin={"main": "small"})
    assert chosen(models, "main") == ["acme/small"]
    assert chosen(models, "small") == ["acme/small"]


def test_what_degrades_a_model_is_in_scope() -> None:
    assert chosen(Models(pin={"main": "big"}, degrade={"big": "small"}), "small") == ["acme/small"]


def test_a_workflow_that_declares_no_models_may_call_none() -> None:
    assert chosen(Models(), "small") == "model_not_in_scope"


def test_a_provider_can_be_allowed_whole() -> None:
    models = Models(allow=("backup/*",))
    assert chosen(models, "big") == ["backup/big"]
    assert chosen(models, "small") == "model_not_in_scope"


def test_a_near_name_is_said() -> None:
    refused = TABLE.choose(Models(allow=("small",)), "smalll", OPENAI)
    assert isinstance(refused, Reason)
    assert refused.code == "unknown_model"
    assert [miss.expected for miss in refused.near_misses] == ["small"]
    assert chosen(ANYTHING, "nothing like it") == "unknown_model"


def test_a_model_of_the_other_wire_format_is_refused_with_its_format() -> None:
    refused = TABLE.choose(ANYTHING, "opus", OPENAI)
    assert isinstance(refused, Reason)
    assert refused.code == "model_of_another_format"
    assert "anthropic" in refused.message
    assert chosen(ANYTHING, "opus", ANTHROPIC) == ["claude/opus"]


def test_what_is_in_scope_is_listed_roles_first() -> None:
    models = Models(pin={"main": "small", "other": "opus"}, allow=("big",))
    assert TABLE.in_scope(models, OPENAI) == ("main", "big", "small")
    assert TABLE.in_scope(models, ANTHROPIC) == ("other", "opus")


def test_permission_looks_at_both_names_and_both_wildcards() -> None:
    provider = a_provider("acme", "big")
    route = Route(provider=provider, model=provider.models[0])
    assert [permits(Models(allow=(name,)), route) for name in ("big", "acme/big", "*", "acme/*", "b*")] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert RoutingTable().providers == ()


def test_what_was_chosen_is_chosen_again_and_never_for_another_scope() -> None:
    models = Models(allow=("big",))
    assert TABLE.choose(models, "big", OPENAI) is TABLE.choose(models, "big", OPENAI)
    for number in range(5_000):
        scope = Models(allow=("acme/big",)) if number % 2 else Models(allow=("backup/big",))
        assert chosen(scope, "big") == (["acme/big"] if number % 2 else ["backup/big"])
