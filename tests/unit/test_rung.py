"""Each rung by itself: what it makes of a call, and when it is not for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.core.conversation import WireFormat
from interlock.core.ladder import (
    Call,
    CapOutput,
    FewerServerTools,
    ModelFacts,
    PlainTier,
    ServerTools,
    Situation,
    Skipped,
    SwapModel,
    Terms,
    TrimContext,
)
from interlock.core.model import Ability
from interlock.core.rung import (
    Offer,
    cap_output,
    fewer_server_tools,
    kept_model,
    lower_effort,
    mapped_model,
    one_answer,
    plain_tier,
    trimmed_context,
)

CALL = Call(wire=WireFormat.CHAT, model="big", input=1_000, output=400, cached=900)


def situation(terms: Terms | None = None, allowance: int | None = 0, **models: ModelFacts) -> Situation:
    chosen = terms or Terms(swaps={"big": "small"})
    return Situation(
        terms=chosen, models=models, price=lambda call: call.input + call.output, allowance=allowance
    )


def made(offer: Offer | Skipped | None) -> Call:
    assert isinstance(offer, Offer)
    return offer.call


def why(offer: Offer | Skipped | None) -> str:
    assert isinstance(offer, Skipped)
    return offer.why


def test_a_swap_finds_a_cold_cache_and_a_kept_swap_a_warm_one() -> None:
    assert made(mapped_model(CALL, situation())) == replace(CALL, model="small", cached=0)
    kept = kept_model(CALL, situation())
    assert isinstance(kept, Offer)
    assert (kept.call.cached, kept.free, kept.margin) == (900, True, 0)


def test_models_are_swapped_only_along_a_mapping() -> None:
    assert why(mapped_model(CALL, situation(Terms()))) == "no model is mapped to take the place of big"
    assert why(kept_model(CALL, situation(Terms()))).startswith("no model")


@pytest.mark.parametrize(
    ("small", "big", "said"),
    [
        (ModelFacts(lacks=frozenset({Ability.TOOLS})), ModelFacts(), "small lacks tools"),
        (ModelFacts(window=1_399), ModelFacts(), "the window of small has 1399 tokens"),
        (ModelFacts(), ModelFacts(regions=frozenset({"eu"})), "small is not known to stay in eu"),
        (
            ModelFacts(regions=frozenset({"eu", "us"})),
            ModelFacts(regions=frozenset({"eu"})),
            "small is not known to stay in eu",
        ),
    ],
)
def test_what_is_known_of_the_target_can_speak_against_it(
    small: ModelFacts, big: ModelFacts, said: str
) -> None:
    call = replace(CALL, needs=frozenset({Ability.TOOLS}))
    assert why(mapped_model(call, situation(small=small, big=big))) == said


def test_a_target_that_fits_exactly_is_taken() -> None:
    eu = frozenset({"eu"})
    given = situation(small=ModelFacts(window=1_400, regions=eu), big=ModelFacts(regions=eu))
    assert made(mapped_model(CALL, given)).model == "small"


def test_a_target_is_not_asked_for_what_it_cannot_do() -> None:
    call = replace(CALL, effort="high", thinking=9_000, reasoning=300, output_cap=8_000)
    offer = mapped_model(call, situation(small=ModelFacts(reasons=False, max_output=50)))
    swapped = made(offer)
    assert (swapped.effort, swapped.thinking, swapped.reasoning) == (None, None, 0)
    assert (swapped.output_cap, swapped.output) == (50, 50)
    assert isinstance(offer, Offer)
    assert offer.step == SwapModel(model="small", max_output=50, reasons=False)


@pytest.mark.parametrize("effort", ["none", "minimal", "low", None])
def test_modest_effort_is_left_alone(effort: str | None) -> None:
    assert lower_effort(replace(CALL, effort=effort), situation()) is None


def test_effort_falls_to_low_and_most_of_the_reasoning_with_it() -> None:
    lowered = made(lower_effort(replace(CALL, effort="high", reasoning=200), situation()))
    assert (lowered.effort, lowered.reasoning, lowered.output) == ("low", 50, 250)


def test_a_model_that_reasons_by_itself_is_told_to_reason_less_where_the_format_can_say_so() -> None:
    facts = ModelFacts(reasons=True)
    assert made(lower_effort(CALL, situation(big=facts))).effort == "low"
    assert lower_effort(replace(CALL, wire=WireFormat.MESSAGES), situation(big=facts)) is None


def test_thinking_falls_to_the_least_that_the_provider_allows() -> None:
    call = replace(CALL, wire=WireFormat.MESSAGES, thinking=16_000, reasoning=400)
    lowered = made(lower_effort(call, situation()))
    assert (lowered.thinking, lowered.effort) == (1_024, None)
    assert lower_effort(replace(call, thinking=1_024), situation()) is None


def test_the_cap_leaves_room_for_reasoning() -> None:
    terms = Terms(output_cap=100, reasoning_room=50)
    assert made(cap_output(CALL, situation(terms))).output_cap == 100
    assert made(cap_output(replace(CALL, effort="low"), situation(terms))).output_cap == 150
    assert made(cap_output(replace(CALL, thinking=1_024), situation(terms))).output_cap == 1_124
    offer = cap_output(CALL, situation(terms, big=ModelFacts(reasons=True)))
    assert made(offer).output == 150
    assert isinstance(offer, Offer)
    assert offer.step == CapOutput(tokens=150)


def test_a_cap_is_only_ever_lowered() -> None:
    assert cap_output(replace(CALL, output_cap=100), situation(Terms(output_cap=100))) is None


def test_one_answer_instead_of_several() -> None:
    assert made(one_answer(replace(CALL, answers=4), situation())).answers == 1
    assert one_answer(CALL, situation()) is None


@pytest.mark.parametrize(
    ("wire", "asked", "flex", "becomes"),
    [
        (WireFormat.CHAT, "priority", False, "default"),
        (WireFormat.CHAT, "", True, "flex"),
        (WireFormat.RESPONSES, "auto", False, "default"),
        (WireFormat.MESSAGES, "auto", True, "standard_only"),
        (WireFormat.CHAT, "flex", True, None),
        (WireFormat.CHAT, "", False, None),
        (WireFormat.MESSAGES, "standard_only", False, None),
    ],
)
def test_the_service_tier_is_left_where_it_is_dear(
    wire: WireFormat, asked: str, flex: bool, becomes: str | None
) -> None:
    offer = plain_tier(replace(CALL, wire=wire, service_tier=asked), situation(Terms(flex=flex)))
    if becomes is None:
        assert offer is None
    else:
        assert made(offer).service_tier == becomes
        assert isinstance(offer, Offer)
        assert offer.step == PlainTier(tier=becomes)


def test_server_tools_are_touched_only_where_the_terms_say_so() -> None:
    call = replace(CALL, server_tools={"web_search": 3})
    assert fewer_server_tools(call, situation()) is None
    assert fewer_server_tools(CALL, situation(Terms(server_tools=ServerTools.REMOVE))) is None
    limited = fewer_server_tools(call, situation(Terms(server_tools=ServerTools.LIMIT)))
    assert (made(limited).server_tools, made(limited).cached) == ({"web_search": 1}, 900)
    removed = fewer_server_tools(call, situation(Terms(server_tools=ServerTools.REMOVE)))
    assert (made(removed).server_tools, made(removed).cached) == ({}, 0)
    assert isinstance(removed, Offer)
    assert removed.step == FewerServerTools(how=ServerTools.REMOVE)


def test_a_context_is_cut_to_half_of_what_fits_but_never_into_what_is_fixed() -> None:
    assert made(trimmed_context(CALL, situation(allowance=1_000))).input == 300
    assert made(trimmed_context(replace(CALL, fixed=450), situation(allowance=1_000))).input == 450
    assert made(trimmed_context(replace(CALL, fixed=450), situation(allowance=None))).input == 450


def test_a_context_that_is_all_fixed_is_not_cut() -> None:
    assert trimmed_context(replace(CALL, fixed=1_000), situation()) is None


def test_a_history_at_the_provider_is_left_to_the_provider() -> None:
    offer = trimmed_context(replace(CALL, remote=True), situation())
    assert isinstance(offer, Offer)
    assert (offer.step, offer.free) == (TrimContext(tokens=1_000, low=1_000), True)
