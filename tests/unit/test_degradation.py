"""The plan of the ladder: in order, only as far as needed, only where it pays, and steady within a run."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.conversation import WireFormat
from interlock.core.degradation import allowance, plan
from interlock.core.ladder import (
    Call,
    Finish,
    ModelFacts,
    Situation,
    SwapModel,
    Terms,
    TrimContext,
)
from interlock.core.model import Ability, OnHard

DEAR, CHEAP = "dear-1", "cheap-1"
RATES = {DEAR: (10_000, 1_000, 40_000), CHEAP: (2_000, 200, 8_000)}  # nano-dollars: input, cached, output


def price(call: Call) -> int | None:
    """Price a call of either model; no other has a price."""
    if call.model not in RATES:
        return None
    fresh, cached, output = RATES[call.model]
    tier = 2 if call.service_tier == "priority" else 1
    tokens = (call.input - call.cached) * fresh + call.cached * cached + call.output * output * call.answers
    return tokens * tier + 1_000_000 * sum(call.server_tools.values())


def a_call(**changes: object) -> Call:
    return replace(Call(wire=WireFormat.CHAT, model=DEAR, input=10_000, output=2_000), **changes)  # type: ignore[arg-type]


def a_situation(budget: int | None, terms: Terms | None = None, **models: ModelFacts) -> Situation:
    terms = terms or Terms(swaps={DEAR: CHEAP})
    facts = {name.replace("_", "-"): known for name, known in models.items()}
    return Situation(terms=terms, models=facts, price=price, allowance=budget)


def test_a_call_that_fits_its_allowance_is_left_alone() -> None:
    call = a_call()
    done = plan(call, a_situation(price(call)))
    assert (done.call, done.steps, done.fits) == (call, (), True)


def test_the_mapped_model_comes_first_and_is_enough_where_it_fits() -> None:
    done = plan(a_call(), a_situation(40_000_000))
    assert done.names == ("model", "message")
    assert done.call.model == CHEAP
    assert done.before == 180_000_000
    assert done.after == 36_000_000


def test_every_step_says_what_it_saves() -> None:
    done = plan(a_call(answers=2), a_situation(1))
    assert done.before is not None
    assert done.after is not None
    assert sum(step.saves for step in done.steps) == done.before - done.after
    assert not done.fits


def test_the_steps_are_taken_in_the_order_of_the_ladder() -> None:
    call = a_call(
        answers=3, effort="high", reasoning=1_500, output=8_000, service_tier="priority", fixed=1_000
    )
    terms = Terms(swaps={DEAR: CHEAP}, output_cap=500, reasoning_room=500)
    done = plan(call, a_situation(1, terms))
    assert done.names == ("model", "effort", "max_tokens", "n", "service_tier", "context", "message")


def test_a_long_cached_prefix_is_cheaper_on_the_dear_model_and_stays_there() -> None:
    call = a_call(input=100_000, cached=99_000, output=100)
    done = plan(call, a_situation(1, Terms(mode=OnHard.SOFT, swaps={DEAR: CHEAP})))
    assert done.call.model == DEAR
    assert [skipped.step for skipped in done.skipped] == ["model", "max_tokens"]
    assert done.skipped[0].why == "it would save too little"


def test_a_swap_must_save_its_margin() -> None:
    call = a_call(input=100_000, cached=88_000, output=0)  # 208 million here, 200 million there
    assert plan(call, a_situation(1, Terms(swaps={DEAR: CHEAP}, margin=0))).call.model == CHEAP
    assert plan(call, a_situation(1, Terms(swaps={DEAR: CHEAP}, margin=100))).call.model == DEAR


def test_a_run_that_was_swapped_stays_swapped_even_under_its_limit() -> None:
    done = plan(a_call(cached=5_000), a_situation(None), swapped=frozenset({DEAR}))
    assert done.names == ("model",)
    assert (done.call.model, done.call.cached) == (CHEAP, 5_000)


def test_a_swapped_run_is_not_swapped_again() -> None:
    terms = Terms(swaps={DEAR: CHEAP, CHEAP: DEAR}, tell=False, mode=OnHard.SOFT)
    done = plan(a_call(output_cap=10), a_situation(1, terms), swapped=frozenset({DEAR}))
    assert done.names == ("model",)
    assert done.call.model == CHEAP


def test_a_swapped_run_goes_back_where_the_mapped_model_cannot_serve() -> None:
    call = a_call(needs=frozenset({Ability.VISION}))
    blind = ModelFacts(lacks=frozenset({Ability.VISION}))
    done = plan(call, a_situation(None, cheap_1=blind), swapped=frozenset({DEAR}))
    assert done.call.model == DEAR
    assert done.skipped[0].why == "cheap-1 lacks vision"


def test_what_was_not_asked_for_is_kept_out() -> None:
    done = plan(a_call(), a_situation(1, Terms(mode=OnHard.NEVER, swaps={DEAR: CHEAP})))
    assert (done.steps, done.fits) == ((), False)


def test_soft_degrades_without_touching_context_or_message() -> None:
    done = plan(a_call(), a_situation(1, Terms(mode=OnHard.SOFT, swaps={DEAR: CHEAP})))
    assert done.names == ("model", "max_tokens")


def test_a_message_is_told_only_where_it_is_wanted() -> None:
    done = plan(a_call(), a_situation(1, Terms(tell=False, swaps={DEAR: CHEAP})))
    assert "message" not in done.names
    told = plan(a_call(input=1, output=1, output_cap=1), a_situation(1, Terms()))
    assert told.steps == (Finish(),)


def test_steps_that_save_too_little_are_skipped() -> None:
    done = plan(a_call(input=1_000, output=10, fixed=1_000), a_situation(1, Terms(least=10_000_000_000)))
    assert {skipped.step for skipped in done.skipped} == {"model", "max_tokens"}
    assert done.names == ("message",)


def test_a_model_without_a_price_is_never_chosen() -> None:
    done = plan(a_call(), a_situation(1, Terms(swaps={DEAR: "free-1"})))
    assert done.call.model == DEAR
    assert done.skipped[0].why == "free-1 has no price"


def test_a_call_without_a_price_fits_nothing() -> None:
    done = plan(a_call(model="free-1"), a_situation(10**12))
    assert not done.fits
    assert (done.before, done.after) == (None, None)


def test_the_context_is_cut_to_a_low_water_mark() -> None:
    call = a_call(input=10_000, output=0, output_cap=1, fixed=500)
    done = plan(call, a_situation(60_000_000, Terms()))
    assert done.steps[0] == TrimContext(tokens=6_000, low=3_000, saves=70_000_000)
    assert done.call.input == 3_000


def test_the_slack_is_shared_by_the_calls_that_are_still_to_come() -> None:
    assert allowance(slack=900, calls_made=1, usual_calls=10) == 100
    assert allowance(slack=900, calls_made=50, usual_calls=10) == 900
    assert allowance(slack=-5, calls_made=0, usual_calls=10) == 0


@given(
    input_tokens=st.integers(0, 200_000),
    share=st.integers(0, 1_000),
    output=st.integers(0, 20_000),
    answers=st.integers(1, 5),
    budget=st.integers(0, 10**10),
    mode=st.sampled_from(list(OnHard)),
)
def test_a_plan_never_makes_a_call_dearer_and_adds_up(
    input_tokens: int, share: int, output: int, answers: int, budget: int, mode: OnHard
) -> None:
    call = a_call(
        input=input_tokens,
        cached=input_tokens * share // 1_000,
        fixed=input_tokens // 10,
        output=output,
        answers=answers,
    )
    done = plan(call, a_situation(budget, Terms(mode=mode, swaps={DEAR: CHEAP})))
    assert done.before is not None
    assert done.after is not None
    assert done.after == done.before - sum(step.saves for step in done.steps)
    assert done.after <= done.before
    assert done.after == price(done.call)
    assert done.fits == (done.after <= budget)
    assert sum(isinstance(step, SwapModel) for step in done.steps) <= 1
