"""Models are served by somebody, and only what speaks the same format stands in another's place (A3, B4)."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.bundle import BundleInvalid, compile_bundle
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.spending import Compression, Models
from interlock.core.model import Shortening, WireFamily
from support.policies import a_workflow, documents

OPENAI, ANTHROPIC = WireFamily.OPENAI, WireFamily.ANTHROPIC


def a_provider(
    name: str, *models: str, speaks: tuple[WireFamily, ...] = (OPENAI,), **changes: Any
) -> Provider:
    served = tuple(ProviderModel(name=model) for model in models)
    return Provider(name=name, base_url="https://x/v1", wire_formats=speaks, models=served, **changes)


SERVED = (
    a_provider("openai", "large", "small", "tiny"),
    a_provider("azure", "large"),
    a_provider("claude", "opus", speaks=(ANTHROPIC,)),
    a_provider("router", "large", "both", speaks=(ANTHROPIC, OPENAI)),
)


def said(*providers: Provider, workflow: Any = None, **models: Any) -> dict[str, str]:
    """Return what is wrong by its path below `spec`."""
    flow = workflow or a_workflow(models=Models(**models))
    found: dict[str, str] = {}
    try:
        compile_bundle(documents(flow, *(providers or SERVED)), environment="dev")
    except BundleInvalid as invalid:
        for each in invalid.problems:
            path = ".".join(str(step) for step in each.path[1:])
            message = each.message + (f" ({each.near}?)" if each.near else "")
            found[path] = f"{found[path]}; {message}" if path in found else message
    return found


def test_models_that_are_served_are_fine() -> None:
    assert not said(pin={"main": "small", "spare": "azure/large"}, allow=("*", "claude/*", "large"))
    assert not said(pin={"main": "openai/large"}, degrade={"openai/large": "small", "small": "tiny"})
    assert not said(allow=("openai/*",), degrade={"small": "both"})


def test_a_model_that_nobody_serves_is_said_with_a_near_name() -> None:
    assert said(pin={"main": "smal"}, allow=("openai/tinny", "opnai/*"), degrade={"larg": "tini"}) == {
        "models.pin.main": "no provider serves the model 'smal' (small?)",
        "models.allow.0": "no provider serves the model 'openai/tinny' (openai/tiny?)",
        "models.allow.1": "unknown Provider 'opnai' (openai/*?)",
        "models.degrade.larg": "no provider serves the model 'larg' (large?); "
        "no provider serves the model 'tini' (tiny?)",
    }


def test_a_model_that_is_served_in_another_environment_only_is_said_so() -> None:
    other = a_provider("openai", "large", environment="production")
    assert said(SERVED[2], other, pin={"main": "large"}) == {
        "models.pin.main": "no provider serves the model 'large': it is declared by openai for production"
    }


def test_a_name_that_several_providers_serve_must_be_made_plain() -> None:
    assert said(pin={"main": "large"}) == {
        "models.pin.main": "several providers serve 'large': "
        "write azure/large or openai/large or router/large"
    }
    assert not said(allow=("large",))
    assert not said(
        a_provider("openai", "large"),
        a_provider("claude", "large", speaks=(ANTHROPIC,)),
        pin={"main": "large"},
    )


def test_a_model_degrades_to_one_that_speaks_its_format() -> None:
    assert said(pin={"main": "opus"}, degrade={"opus": "small"}) == {
        "models.degrade.opus": "'small' does not speak anthropic, and nothing is translated"
    }
    assert said(pin={"main": "both"}, degrade={"both": "small"}) == {
        "models.degrade.both": "'small' does not speak anthropic, and nothing is translated"
    }
    assert not said(pin={"main": "opus"}, degrade={"opus": "both"})


def test_a_model_that_cannot_be_asked_for_needs_no_degradation() -> None:
    assert said(pin={"main": "small"}, degrade={"tiny": "small"}) == {
        "models.degrade.tiny": "the workflow may not call 'tiny': pin or allow it"
    }


def test_degradation_in_a_circle_is_said_once() -> None:
    circle = {"openai/large": "small", "small": "tiny", "tiny": "openai/large", "opus": "opus"}
    assert said(allow=("*",), degrade={**circle, "azure/large": "tiny"}) == {
        "models.degrade.openai/large": "degrades in a circle: openai/large -> small -> tiny -> openai/large",
        "models.degrade.opus": "degrades in a circle: opus -> opus",
    }


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("small", None),
        ("openai/tiny", "the workflow may not call 'openai/tiny': pin or allow it"),
        ("smal", "no provider serves the model 'smal' (small?)"),
    ],
)
def test_what_summarises_is_in_scope(model: str, message: str | None) -> None:
    rules = (
        Compression(tool="*", above=10, to=1, how=Shortening.SUMMARISE, model=model),
        Compression(tool="*", above=10, to=1),
    )
    flow = a_workflow(models=Models(allow=("small",)), compression=rules)
    assert said(workflow=flow) == ({"compression.0.model": message} if message else {})


def test_a_provider_serves_each_model_once_and_falls_back_to_what_exists() -> None:
    assert not said(*SERVED, a_provider("main", "a", fallbacks={"a": ("openai/large", "router/both")}))
    wrong = a_provider(
        "main", "a", "a", fallbacks={"a": ("main/a", "opnai/small", "large", "claude/opus"), "b": ()}
    )
    assert said(*SERVED, wrong) == {
        "models.1.name": "the model 'a' is declared twice",
        "fallbacks.a.0": "'a' cannot fall back to itself",
        "fallbacks.a.1": "unknown model 'opnai/small': write provider/name (openai/small?)",
        "fallbacks.a.2": "unknown model 'large': write provider/name (azure/large?)",
        "fallbacks.a.3": "claude/opus does not speak openai, and nothing is translated",
        "fallbacks.b": "main serves no model 'b'",
    }
