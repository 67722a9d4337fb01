"""Histories fall into groups that hold each call with its results; what is not understood says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.conversation import (
    Kind,
    Part,
    WireFormat,
    blocks_of,
    fault,
    groups,
    history_of,
    parts,
)
from support.histories import history, stories

CHAT, RESPONSES, MESSAGES = WireFormat.CHAT, WireFormat.RESPONSES, WireFormat.MESSAGES
USER = {"role": "user", "content": "x"}


def understood(wire: WireFormat, *items: dict[str, Any]) -> list[Part]:
    found = parts(items, wire)
    assert found is not None
    return found


def spans(wire: WireFormat, *items: dict[str, Any]) -> list[tuple[int, int]]:
    return [(group.start, group.stop) for group in groups(understood(wire, *items))]


def call(name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "t", "arguments": "{}"}


def result(name: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": name, "output": "r"}


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
SAID = {"role": "assistant", "content": "so"}


@given(wire=st.sampled_from(list(WireFormat)), story=stories)
def test_groups_cover_a_history_without_gaps_and_hold_calls_with_their_results(
    wire: WireFormat, story: list[Any]
) -> None:
    found = understood(wire, *history(wire, story))
    fallen = groups(found)
    assert [group.start for group in fallen] == [0, *[group.stop for group in fallen[:-1]]]
    assert fallen[-1].stop == len(found)
    assert fault(found) is None
    for group in fallen:
        turn = found[group.start : group.stop]
        made = sorted(name for part in turn for name in part.calls)
        assert made == sorted(name for part in turn for name in part.results)
        assert group.kind is turn[0].kind


def test_a_turn_in_several_items_stays_together_until_its_calls_are_answered() -> None:
    assert spans(RESPONSES, USER, call("a"), call("b"), result("a"), result("b"), SAID) == [
        (0, 1),
        (1, 5),
        (5, 6),
    ]
    assert spans(RESPONSES, USER, call("a"), result("a"), call("b"), result("b")) == [(0, 1), (1, 3), (3, 5)]
    assert spans(RESPONSES, USER, call("a"), call("b"), result("a"), SAID, result("b")) == [(0, 1), (1, 6)]


def test_a_call_stays_with_the_reasoning_it_came_of() -> None:
    assert spans(RESPONSES, USER, THOUGHT, call("a"), result("a"), call("b"), result("b"), THOUGHT, SAID) == [
        (0, 1),
        (1, 6),
        (6, 8),
    ]


def test_calls_in_the_older_words_are_understood() -> None:
    asked = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
    assert spans(CHAT, USER, asked, {"role": "function", "name": "f", "content": "r"}) == [(0, 1), (1, 3)]
    approval = {"type": "mcp_approval_request", "id": "m1"}
    answer = {"type": "mcp_approval_response", "approval_request_id": "m1", "approve": True}
    assert spans(RESPONSES, USER, approval, answer) == [(0, 1), (1, 3)]


def test_instructions_may_stand_in_a_history() -> None:
    for wire in WireFormat:
        assert understood(wire, {"role": "system", "content": "x"}, USER)[0].kind is Kind.LEAD
    assert understood(RESPONSES, {"type": "message", "role": "developer"}, USER)[0].kind is Kind.LEAD


@pytest.mark.parametrize(
    ("wire", "item"),
    [
        (CHAT, {"role": "critic", "content": "x"}),
        (CHAT, {"role": "assistant", "tool_calls": [{"function": {}}]}),
        (CHAT, {"role": "tool", "tool_call_id": 7}),
        (MESSAGES, {"role": "critic"}),
        (RESPONSES, {"type": "message", "role": "critic"}),
        (RESPONSES, {"type": "item_reference", "id": "msg_1"}),
        (RESPONSES, {"type": 7}),
        (RESPONSES, {"type": "function_call", "call_id": ""}),
    ],
)
def test_what_is_not_understood_says_so(wire: WireFormat, item: dict[str, Any]) -> None:
    assert parts([USER, item], wire) is None


@pytest.mark.parametrize(
    ("wire", "items"),
    [
        (CHAT, []),
        (CHAT, [{"role": "system", "content": "x"}]),
        (CHAT, [SAID, USER]),
        (CHAT, [USER, {"role": "tool", "tool_call_id": "a"}]),
        (CHAT, [USER, {"role": "assistant", "tool_calls": [{"id": "a"}]}, USER]),
        (RESPONSES, [USER, result("a"), call("a")]),
        (RESPONSES, [USER, call("a"), result("a"), result("a")]),
        (RESPONSES, [USER, call("a"), call("a"), result("a")]),
        (RESPONSES, [USER, call("a"), USER, result("a")]),
        (MESSAGES, [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]}]),
    ],
)
def test_what_a_provider_would_refuse_is_a_fault(wire: WireFormat, items: list[dict[str, Any]]) -> None:
    assert fault(understood(wire, *items)) is not None


def test_a_history_is_a_list_of_objects() -> None:
    assert history_of({"messages": [USER]}, CHAT) == [USER]
    assert history_of({"input": [USER]}, RESPONSES) == [USER]
    assert history_of({"input": "words"}, RESPONSES) is None
    assert history_of({"messages": [USER, "words"]}, MESSAGES) is None
    assert history_of({}, CHAT) is None


def test_the_blocks_of_a_plain_text_are_none() -> None:
    assert blocks_of("words") == []
    assert blocks_of([{"type": "text"}, "words"]) == [{"type": "text"}]
