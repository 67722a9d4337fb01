"""One request beyond its limit: planned, applied, remembered; in shadow nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.conversation import WireFormat
from interlock.core.ladder import Call, ModelFacts, Situation, Skipped, Terms, TrimContext
from interlock.core.model import OnHard
from interlock.core.shape import Expected
from interlock.core.treatment import HISTORIES, Remembered, Treated, treat
from interlock.core.trimming import Cut
from support.histories import history, refused, stories

CHAT, RESPONSES = WireFormat.CHAT, WireFormat.RESPONSES
EXPECTED = Expected(input=10_000, output=100, cached=0, reasoning=0)
LONG = [("said", [3_000])] * 8
ONLY_CONTEXT = Terms(keep_groups=2, tell=False, output_cap=10_000)


def price(call: Call) -> int:
    """A nano-dollar per token, ten for one of the output; the cheap model at a quarter."""
    cost = (call.input - call.cached) * 1_000 + call.cached * 100 + call.output * 10_000
    return cost // 4 if call.model == "cheap-1" else cost


def situation(allowance: int | None, terms: Terms = ONLY_CONTEXT, **facts: ModelFacts) -> Situation:
    return Situation(terms=terms, models=facts, price=price, allowance=allowance)


def treated(
    items: list[Any] | str,
    given_situation: Situation,
    remembered: Remembered | None = None,
    *,
    wire: WireFormat = CHAT,
    pinned: frozenset[int] | None = frozenset(),
    **members: Any,
) -> Treated:
    request = {"model": "dear-1", wire.history: items, **members}
    return treat(
        request,
        wire,
        expected=EXPECTED,
        situation=given_situation,
        remembered=remembered or Remembered(),
        pinned=pinned,
    )


def test_where_everything_is_pinned_the_context_stays_as_it_is() -> None:
    items = history(CHAT, LONG)
    done = treated(items, situation(1), pinned=None)
    assert "context" not in done.plan.names
    assert items[0] in done.body[CHAT.history]
    pinned = treated(items, situation(1), pinned=frozenset({3}))
    assert "context" in pinned.plan.names
    assert items[3] in pinned.body[CHAT.history]


def test_a_call_under_every_limit_in_a_fresh_run_is_left_alone() -> None:
    items = history(CHAT, LONG)
    done = treated(items, situation(None))
    assert (done.plan.names, done.plan.fits) == ((), True)
    assert done.body[CHAT.history] == items
    assert not done.remembered


def test_the_whole_ladder_is_applied_in_one_go() -> None:
    terms = Terms(swaps={"dear-1": "cheap-1"}, keep_groups=2, output_cap=50, least=0)
    done = treated(history(CHAT, LONG), situation(1, terms), n=3, max_tokens=90)
    assert done.plan.names == ("model", "max_tokens", "n", "context", "message")
    assert (done.body["model"], done.body["max_tokens"], done.body["n"]) == ("cheap-1", 50, 1)
    assert refused(CHAT, done.body[CHAT.history]) is None
    assert done.remembered.swapped == {"dear-1"}
    assert len(done.remembered.cuts) == 1
    assert done.remembered


@given(
    wire=st.sampled_from(list(WireFormat)),
    story=stories,
    allowance=st.none() | st.integers(0, 12_000_000),
    mode=st.sampled_from(list(OnHard)),
)
def test_whatever_is_done_validates_and_the_figures_agree(
    wire: WireFormat, story: list[Any], allowance: int | None, mode: OnHard
) -> None:
    terms = Terms(mode=mode, swaps={"dear-1": "cheap-1"}, keep_groups=2, output_cap=50)
    done = treated(history(wire, story), situation(allowance, terms), wire=wire)
    assert refused(wire, done.body[wire.history]) is None
    assert done.plan.after == price(done.plan.call)
    assert done.plan.before is not None
    assert done.plan.after is not None
    assert done.plan.after == done.plan.before - sum(step.saves for step in done.plan.steps)
    assert done.plan.fits == (allowance is None or done.plan.after <= allowance)


def test_the_cut_is_kept_by_the_run_and_said_of_every_later_call() -> None:
    first = treated(history(CHAT, LONG), situation(9_000_000))
    assert first.plan.names == ("context",)
    later = treated(history(CHAT, [*LONG, ("more", [5])]), situation(None), first.remembered)
    assert later.plan.names == ("context",)
    assert later.remembered == first.remembered
    sent = first.body[CHAT.history]
    assert later.body[CHAT.history][: len(sent)] == sent
    assert later.plan.call.input < EXPECTED.input


def test_a_swap_is_kept_by_the_run() -> None:
    terms = Terms(swaps={"dear-1": "cheap-1"}, tell=False)
    first = treated("words", situation(5_000_000, terms), wire=RESPONSES)
    later = treated("words", situation(None, terms), first.remembered, wire=RESPONSES)
    assert (later.body["model"], later.plan.names) == ("cheap-1", ("model",))


def test_a_context_that_would_break_stays_uncut_and_says_why() -> None:
    items = [*history(CHAT, LONG), {"role": "tool", "tool_call_id": "nobody's", "content": "r"}]
    done = treated(items, situation(9_000_000))
    assert done.body[CHAT.history] == items
    assert done.plan.steps == ()
    assert not done.plan.fits


def test_a_cut_that_takes_away_less_than_planned_says_what_it_took() -> None:
    items = history(CHAT, [("said", [3_000]), "x" * 200, ("said", [5]), ("said", [5])])
    done = treated(items, situation(1))
    step = next(each for each in done.plan.steps if isinstance(each, TrimContext))
    assert done.plan.before is not None
    assert step.saves == done.plan.before - (done.plan.after or 0)


def test_in_shadow_nothing_changes_and_the_plan_is_told() -> None:
    terms = Terms(swaps={"dear-1": "cheap-1"}, keep_groups=2, shadow=True)
    items = history(CHAT, LONG)
    done = treated(items, situation(1, terms))
    assert done.plan.names == ("model", "context", "message")
    assert done.body == {"model": "dear-1", "messages": items}
    assert done.remembered == Remembered()


def test_a_history_at_the_provider_is_left_to_the_provider() -> None:
    done = treated("go on", situation(1), wire=RESPONSES, previous_response_id="resp_1")
    assert done.plan.names == ("context",)
    assert done.body["truncation"] == "auto"
    assert not done.remembered


def test_a_run_keeps_the_cuts_of_its_latest_histories_only() -> None:
    many = {str(number): Cut(stubbed=1) for number in range(HISTORIES)}
    done = treated(history(CHAT, LONG), situation(9_000_000), Remembered(cuts=many))
    assert len(done.remembered.cuts) == HISTORIES
    assert "0" not in done.remembered.cuts
    assert "1" in done.remembered.cuts


@pytest.mark.parametrize("allowance", [1, None])
def test_a_model_without_a_price_changes_nothing_but_the_verdict(allowance: int | None) -> None:
    unpriced = Situation(terms=ONLY_CONTEXT, models={}, price=lambda _: None, allowance=allowance)
    done = treated(history(CHAT, LONG), unpriced)
    assert (done.plan.steps, done.plan.fits) == ((), allowance is None)
    assert Skipped(step="context", why="dear-1 has no price") in done.plan.skipped or allowance is None
