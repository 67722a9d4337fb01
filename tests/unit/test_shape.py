"""What a body asks for, read alike in three wire formats."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.conversation import WireFormat
from interlock.core.ladder import Call
from interlock.core.model import Ability
from interlock.core.shape import CAPS, Expected, shape_of
from interlock.core.trimming import Keeping

CHAT, RESPONSES, MESSAGES = WireFormat.CHAT, WireFormat.RESPONSES, WireFormat.MESSAGES
USER = {"role": "user", "content": "x"}


def shape(wire: WireFormat, *, learned: int | None = 0, **members: Any) -> Call:
    body = {"model": "m", wire.history: [USER], **members}
    expected = Expected(input=1_000, output=500, cached=2_000, reasoning=learned)
    return shape_of(body, wire, expected, Keeping())


@pytest.mark.parametrize("wire", list(WireFormat))
def test_a_plain_call_is_all_defaults(wire: WireFormat) -> None:
    assert shape(wire) == Call(wire=wire, model="m", input=1_000, output=500, cached=1_000, fixed=1_000)


@pytest.mark.parametrize("wire", list(WireFormat))
def test_a_cap_is_found_in_whichever_member_the_caller_used(wire: WireFormat) -> None:
    for name in CAPS[wire]:
        found = shape(wire, **{name: 300})
        assert (found.output_cap, found.output) == (300, 300)
    assert shape(wire, **{CAPS[wire][0]: True}).output_cap is None
    assert shape(wire, **{CAPS[wire][0]: -1}).output_cap is None


def test_of_two_caps_the_smaller_counts() -> None:
    assert shape(CHAT, max_tokens=10, max_completion_tokens=20).output_cap == 10


def test_effort_and_thinking_are_found_where_each_format_has_them() -> None:
    assert shape(CHAT, reasoning_effort="high").effort == "high"
    assert shape(RESPONSES, reasoning={"effort": "medium"}).effort == "medium"
    assert shape(MESSAGES, output_config={"effort": "max"}).effort == "max"
    assert shape(MESSAGES, thinking={"type": "adaptive"}).effort == "high"
    assert shape(MESSAGES, thinking={"type": "enabled", "budget_tokens": 4_000}).thinking == 4_000
    assert shape(MESSAGES, thinking={"type": "disabled"}).thinking is None


def test_reasoning_that_nothing_is_known_of_is_half_the_output_where_it_was_asked_for() -> None:
    assert shape(CHAT, learned=None).reasoning == 0
    assert shape(CHAT, learned=None, reasoning_effort="high").reasoning == 250
    assert shape(CHAT, learned=900).reasoning == 500


def test_several_answers_count_whichever_way_they_are_asked_for() -> None:
    assert shape(CHAT, n=3).answers == 3
    assert shape(CHAT, n=2, best_of=5).answers == 5


def test_the_providers_own_tools_are_told_from_the_callers() -> None:
    tools = [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        {"type": "code_interpreter"},
        {"type": "function", "name": "f"},
    ]
    found = shape(RESPONSES, tools=tools)
    assert found.server_tools == {"web_search": 2, "code_execution": 3}
    assert found.needs == {Ability.TOOLS}
    assert shape(RESPONSES, tools=tools[:2]).needs == frozenset()
    assert shape(CHAT, web_search_options={}).server_tools == {"web_search": 3}


def test_images_need_a_model_that_sees_wherever_they_stand() -> None:
    image = {"type": "image", "source": {}}
    assert Ability.VISION in shape(MESSAGES, messages=[{"role": "user", "content": [image]}]).needs
    shown = [{"type": "tool_result", "tool_use_id": "a", "content": [image]}]
    assert Ability.VISION in shape(MESSAGES, messages=[{"role": "user", "content": shown}]).needs
    drawn = [{"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image"}]}]
    assert Ability.VISION in shape(RESPONSES, input=[USER, *drawn]).needs
    assert Ability.VISION not in shape(RESPONSES, input="words").needs


@pytest.mark.parametrize(
    ("wire", "members"),
    [
        (CHAT, {"response_format": {"type": "json_schema"}}),
        (RESPONSES, {"text": {"format": {"type": "json_object"}}}),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema"}}}),
        (MESSAGES, {"output_format": {"type": "json_schema"}}),
    ],
)
def test_a_schema_for_the_answer_is_a_need(wire: WireFormat, members: dict[str, Any]) -> None:
    assert shape(wire, **members).needs == {Ability.STRUCTURED}


def test_a_history_may_be_at_the_provider() -> None:
    assert shape(RESPONSES, previous_response_id="resp_1").remote
    assert shape(RESPONSES, conversation={"id": "c"}).remote
    assert not shape(RESPONSES, previous_response_id=None).remote


def test_what_cannot_be_trimmed_is_a_share_of_the_input() -> None:
    turns = [{"role": "assistant", "content": "long " * 500}, *[USER] * 5]
    found = shape(CHAT, messages=[USER, *turns])
    assert 0 < found.fixed < 200
