"""Trimming cuts in whole groups, keeps what must stay, stays where it was, and always validates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.conversation import WireFormat
from interlock.core.trimming import Cut, Keeping, Trimmed, trim, untouchable
from interlock.core.weight import weigh
from support.histories import body, history, marks, refused, stories

WIRES = list(WireFormat)
LAST_TWO = Keeping(groups=2)


def cut_down(request: dict[str, Any], wire: WireFormat, low: int = 0, **more: Any) -> Trimmed:
    keeping = more.pop("keeping", LAST_TWO)
    return trim(request, wire, target=low, low=low, keeping=keeping, **more)


def a_turn(*sizes: int) -> tuple[str, list[int]]:
    return ("said", list(sizes))


@given(wire=st.sampled_from(WIRES), story=stories, target=st.integers(0, 12_000), keep=st.integers(0, 4))
@settings(max_examples=300)
def test_what_leaves_always_validates(wire: WireFormat, story: list[Any], target: int, keep: int) -> None:
    items = history(wire, story)
    assert refused(wire, items) is None
    before = body(wire, items, tools=[{"name": "t"}])
    done = trim(before, wire, target=target, low=target // 2, keeping=Keeping(groups=keep))
    after = done.body[wire.history]
    assert refused(wire, after) is None
    assert done.weight == weigh(done.body) <= weigh(before)
    assert after[0] == items[0]
    assert after[-1] == items[-1]
    assert {"role": "user", "content": "The task."} in after
    assert marks(after) <= marks(items)
    assert done.body["tools"] is before["tools"]
    assert items == history(wire, story), "the caller's own history is never changed"


@given(wire=st.sampled_from(WIRES), story=stories, more=stories, low=st.integers(0, 8_000))
@settings(max_examples=150)
def test_a_cut_stays_where_it_was_while_the_history_grows(
    wire: WireFormat, story: list[Any], more: list[Any], low: int
) -> None:
    first = cut_down(body(wire, history(wire, story)), wire, low)
    grown = history(wire, [*story, *more])
    second = trim(body(wire, grown), wire, target=10**9, low=0, keeping=LAST_TWO, cut=first.cut)
    assert second.cut == first.cut
    if first.cut is not None:
        sent = first.body[wire.history]
        assert second.body[wire.history][: len(sent)] == sent, "the provider's cache would be lost"
    assert refused(wire, second.body[wire.history]) is None


@given(wire=st.sampled_from(WIRES), story=stories)
def test_what_is_untouchable_is_what_is_left_of_the_deepest_cut(wire: WireFormat, story: list[Any]) -> None:
    request = body(wire, history(wire, story))
    assert cut_down(request, wire).weight == untouchable(request, wire, LAST_TWO)


@pytest.mark.parametrize("wire", WIRES)
def test_old_results_go_first_the_oldest_before_the_others(wire: WireFormat) -> None:
    items = history(wire, [a_turn(3_000), a_turn(3_000), a_turn(3_000), a_turn(3_000)])
    request = body(wire, items)
    done = cut_down(request, wire, weigh(request) - 2_000)
    assert done.cut is not None
    assert (done.cut.stubbed, done.cut.images, done.cut.dropped) == (
        3 if wire is not WireFormat.MESSAGES else 2,
        0,
        0,
    )
    text = str(done.body[wire.history])
    assert text.count("was left out to save context") == 1
    assert text.index("was left out") < text.index("rrr")
    assert len(done.body[wire.history]) == len(items)


@pytest.mark.parametrize("wire", WIRES)
def test_images_go_before_whole_turns_and_whole_turns_last(wire: WireFormat) -> None:
    story = ["image", a_turn(5), "and then", a_turn(5), a_turn(5)]
    request = body(wire, history(wire, story))
    blind = cut_down(request, wire, weigh(request) - 2_000)
    assert blind.cut is not None
    assert (blind.cut.images > 0, blind.cut.dropped) == (True, 0)
    assert "An image of an earlier turn was left out" in str(blind.body)
    bare = cut_down(request, wire)
    assert bare.cut is not None
    assert bare.cut.dropped > 0
    assert "An image" not in str(bare.body)


@pytest.mark.parametrize("wire", WIRES)
def test_pinned_items_stay_with_their_whole_group(wire: WireFormat) -> None:
    items = history(wire, [a_turn(3_000, 3_000), a_turn(3_000), a_turn(5), a_turn(5)])
    pinned = next(index for index, item in enumerate(items) if "rrr" in str(item))
    done = cut_down(body(wire, items), wire, keeping=Keeping(groups=1, pinned=frozenset({pinned})))
    kept = done.body[wire.history]
    assert items[pinned] in kept
    assert refused(wire, kept) is None
    assert len(kept) < len(items)


@pytest.mark.parametrize("wire", WIRES)
def test_pending_results_are_never_cut(wire: WireFormat) -> None:
    items = history(wire, [a_turn(3_000), a_turn(3_000, 3_000)])
    done = cut_down(body(wire, items), wire, keeping=Keeping(groups=0))
    size = len(history(wire, [a_turn(3_000, 3_000)])) - 2
    assert done.body[wire.history][-size:] == items[-size:]


@pytest.mark.parametrize("wire", WIRES)
def test_a_short_history_is_returned_as_it_came(wire: WireFormat) -> None:
    request = body(wire, history(wire, [a_turn(3_000)]))
    done = cut_down(request, wire)
    assert done.body is request
    assert (done.cut, done.why) == (None, "nothing more can be left out")


def test_what_is_not_understood_is_returned_uncut() -> None:
    request = {"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}]}
    done = cut_down(request, WireFormat.RESPONSES)
    assert (done.body, done.why) == (request, "the history is not fully understood")
    assert untouchable(request, WireFormat.RESPONSES, LAST_TWO) == weigh(request)
    assert cut_down({"input": "a text"}, WireFormat.RESPONSES).why == "the history is not fully understood"


def test_a_history_that_is_broken_already_is_returned_uncut() -> None:
    items = [*history(WireFormat.CHAT, []), {"role": "tool", "tool_call_id": "c1", "content": "r"}]
    done = cut_down(body(WireFormat.CHAT, items), WireFormat.CHAT)
    assert done.why == "a tool call and its result are not together"


def test_another_history_is_not_cut_by_the_cut_of_this_one() -> None:
    wire = WireFormat.CHAT
    story = [a_turn(3_000), a_turn(5), a_turn(5)]
    cut = cut_down(body(wire, history(wire, story)), wire).cut
    assert cut is not None
    other = body(wire, history(wire, [("else", [3_000]), a_turn(5), a_turn(5)]))
    done = trim(other, wire, target=10**9, low=0, keeping=LAST_TWO, cut=cut)
    assert (done.body, done.cut) == (other, None)
    short = body(wire, history(wire, []))
    assert trim(short, wire, target=10**9, low=0, keeping=LAST_TWO, cut=cut).cut is None


def test_cache_marks_that_move_do_not_move_the_cut() -> None:
    wire = WireFormat.MESSAGES
    items = history(wire, ["image", a_turn(3_000), a_turn(5), a_turn(5)])
    cut = cut_down(body(wire, items), wire).cut
    unmarked = history(wire, ["image", a_turn(3_000), a_turn(5), a_turn(5)])
    unmarked[1]["content"][1].pop("cache_control")
    assert trim(body(wire, unmarked), wire, target=10**9, low=0, keeping=LAST_TWO, cut=cut).cut == cut


def test_a_cut_that_is_not_enough_any_more_moves_on_to_the_low_water_mark() -> None:
    wire = WireFormat.CHAT
    story = [a_turn(3_000)] * 4
    request = body(wire, history(wire, story))
    first = cut_down(request, wire, weigh(request) - 2_000)
    grown = body(wire, history(wire, [*story, *[a_turn(3_000)] * 4]))
    second = trim(grown, wire, target=15_000, low=8_000, keeping=LAST_TWO, cut=first.cut)
    assert first.cut is not None
    assert second.cut is not None
    assert second.cut.stubbed > first.cut.stubbed
    assert second.weight <= 8_000
    assert Cut() != second.cut
