"""Steps are applied in the caller's own words, and what belongs together stays consistent."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.conversation import WireFormat
from interlock.core.ladder import (
    CapOutput,
    FewerServerTools,
    Finish,
    LowerEffort,
    OneAnswer,
    PlainTier,
    ServerTools,
    Step,
    SwapModel,
    TrimContext,
)
from interlock.core.rewrite import FINISH, rewrite
from support.histories import body, history, refused, stories

CHAT, RESPONSES, MESSAGES = WireFormat.CHAT, WireFormat.RESPONSES, WireFormat.MESSAGES
USER = {"role": "user", "content": "x"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
OWN = {"name": "lookup", "input_schema": {"type": "object"}}

EVERY: list[Step] = [
    SwapModel(model="small", max_output=2_000),
    LowerEffort(),
    CapOutput(tokens=1_500),
    OneAnswer(),
    PlainTier(tier="default"),
    FewerServerTools(how=ServerTools.REMOVE),
    Finish(),
]


def done(wire: WireFormat, *steps: Step, **members: Any) -> dict[str, Any]:
    before = {"model": "big", wire.history: [USER], **members}
    copy = deepcopy(before)
    after = rewrite(before, steps, wire)
    assert before == copy, "the caller's body is never changed"
    return {name: value for name, value in after.items() if before.get(name) != value or name not in before}


@given(
    wire=st.sampled_from(list(WireFormat)), story=stories, steps=st.lists(st.sampled_from(EVERY), max_size=7)
)
def test_a_rewritten_history_still_validates_and_schemas_are_never_touched(
    wire: WireFormat, story: list[Any], steps: list[Step]
) -> None:
    formats = {"response_format": {"type": "json_schema"}, "text": {"format": {}}, "output_format": {}}
    before = body(wire, history(wire, story), tools=[OWN, SEARCH], **formats)
    after = rewrite(before, steps, wire)
    assert refused(wire, after[wire.history]) is None
    assert after["tools"][0] == OWN
    assert formats.items() <= after.items()


def test_a_swap_changes_the_model_and_the_caps_it_cannot_keep() -> None:
    swap = SwapModel(model="small", max_output=800)
    assert done(CHAT, swap, max_tokens=900) == {"model": "small", "max_tokens": 800}
    assert done(CHAT, swap) == {"model": "small"}
    assert done(RESPONSES, swap, max_output_tokens=700, input="words") == {"model": "small"}


def test_a_thinking_budget_stays_under_its_cap() -> None:
    thinking = {"type": "enabled", "budget_tokens": 8_000}
    roomy = done(MESSAGES, SwapModel(model="s", max_output=4_000), max_tokens=9_000, thinking=thinking)
    assert (roomy["max_tokens"], roomy["thinking"]["budget_tokens"]) == (4_000, 3_999)
    tight = done(MESSAGES, CapOutput(tokens=1_000), max_tokens=9_000, thinking=thinking)
    assert tight == {"max_tokens": 1_000, "thinking": {"type": "disabled"}}


def test_a_model_that_does_not_reason_is_not_asked_to() -> None:
    swap = SwapModel(model="s", reasons=False)
    assert rewrite({"reasoning_effort": "high", "n": 1}, [swap], CHAT) == {"n": 1, "model": "s"}
    asked = {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]}
    assert rewrite(asked, [swap], RESPONSES) == {"model": "s"}
    more = {"include": ["reasoning.encrypted_content", "x"]}
    assert rewrite(more, [swap], RESPONSES) == {"model": "s", "include": ["x"]}
    thinks = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high", "format": {}}}
    assert rewrite(thinks, [swap], MESSAGES) == {"model": "s", "output_config": {"format": {}}}


def test_what_another_model_signed_does_not_go_along() -> None:
    swap = SwapModel(model="s")
    turn = {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "so"}]}
    alone = {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]}
    sent = done(MESSAGES, swap, messages=[USER, turn, USER, alone, USER])["messages"]
    assert sent[1]["content"] == [{"type": "text", "text": "so"}]
    assert sent[3]["content"] == [{"type": "text", "text": "(no words)"}]
    said = {"role": "assistant", "content": "so", "reasoning_details": [1], "thinking_blocks": [1]}
    assert done(CHAT, swap, messages=[USER, said])["messages"][1] == {"role": "assistant", "content": "so"}


def test_in_a_tool_loop_thinking_is_off_once_its_blocks_are_gone() -> None:
    turn = {
        "role": "assistant",
        "content": [THOUGHT, {"type": "tool_use", "id": "a", "name": "t", "input": {}}],
    }
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "r"}]}
    thinking = {"type": "enabled", "budget_tokens": 2_000}
    looped = done(MESSAGES, SwapModel(model="s"), messages=[USER, turn, result], thinking=thinking)
    assert looped["thinking"] == {"type": "disabled"}
    assert "thinking" not in done(MESSAGES, SwapModel(model="s"), messages=[USER, turn, result])
    ended = [USER, turn, result, {"role": "assistant", "content": "so"}, USER]
    assert "thinking" not in done(MESSAGES, SwapModel(model="s"), messages=ended, thinking=thinking)


def test_reasoning_items_go_with_the_ids_that_would_ask_for_them() -> None:
    items = [
        USER,
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "x"},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "t", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "r"},
        {"type": "web_search_call", "id": "ws_1"},
    ]
    sent = done(RESPONSES, SwapModel(model="s"), input=items)["input"]
    assert sent == [USER, {name: v for name, v in items[2].items() if name != "id"}, items[3], items[4]]
    plain = [USER, {"role": "assistant", "id": "msg_1", "content": "so"}]
    assert "input" not in done(RESPONSES, SwapModel(model="s"), input=plain)
    odd = [USER, {"type": "reasoning"}, {"type": "item_reference", "id": "x"}]
    assert "input" not in done(RESPONSES, SwapModel(model="s"), input=odd)


def test_effort_is_lowered_where_each_format_has_it() -> None:
    assert done(CHAT, LowerEffort()) == {"reasoning_effort": "low"}
    lowered = done(RESPONSES, LowerEffort(), reasoning={"effort": "high", "summary": "auto"})
    assert lowered == {"reasoning": {"effort": "low", "summary": "auto"}}
    thinking = {"type": "enabled", "budget_tokens": 9_000}
    assert done(MESSAGES, LowerEffort(), thinking=thinking) == {
        "thinking": {"type": "enabled", "budget_tokens": 1_024}
    }
    adaptive = done(MESSAGES, LowerEffort(), thinking={"type": "adaptive"})
    assert adaptive == {"output_config": {"effort": "low"}}


def test_the_cap_goes_into_the_member_that_the_caller_used() -> None:
    assert done(CHAT, CapOutput(tokens=9), max_tokens=50) == {"max_tokens": 9}
    assert done(CHAT, CapOutput(tokens=9), max_completion_tokens=50, max_tokens=5) == {
        "max_completion_tokens": 9
    }
    assert done(CHAT, CapOutput(tokens=9)) == {"max_tokens": 9}
    assert done(CHAT, CapOutput(tokens=9), reasoning_effort="low") == {"max_completion_tokens": 9}
    assert done(RESPONSES, CapOutput(tokens=9)) == {"max_output_tokens": 9}
    assert done(MESSAGES, CapOutput(tokens=9), max_tokens=50) == {"max_tokens": 9}


def test_one_answer_and_a_plain_tier() -> None:
    assert done(CHAT, OneAnswer(), n=4, best_of=8) == {"n": 1, "best_of": 1}
    assert done(CHAT, PlainTier(tier="flex"), service_tier="priority") == {"service_tier": "flex"}


def test_server_tools_are_limited_in_the_words_of_each_format() -> None:
    limit = FewerServerTools(how=ServerTools.LIMIT)
    assert done(MESSAGES, limit, tools=[SEARCH, CODE, OWN]) == {
        "tools": [{**SEARCH, "max_uses": 1}, CODE, OWN]
    }
    assert done(RESPONSES, limit, tools=[SEARCH]) == {"max_tool_calls": 1}
    assert done(CHAT, limit, web_search_options={"x": 1}) == {
        "web_search_options": {"x": 1, "search_context_size": "low"}
    }


def test_removed_tools_leave_no_choice_that_names_them() -> None:
    remove = [FewerServerTools(how=ServerTools.REMOVE)]
    kept = rewrite({"tools": [SEARCH, OWN], "tool_choice": {"type": "auto"}}, remove, MESSAGES)
    assert kept == {"tools": [OWN], "tool_choice": {"type": "auto"}}
    named = {"tools": [SEARCH, OWN], "tool_choice": {"type": "tool", "name": "web_search"}}
    assert rewrite(named, remove, MESSAGES) == {"tools": [OWN]}
    typed = {"tools": [SEARCH, OWN], "tool_choice": {"type": "web_search"}}
    assert rewrite(typed, remove, RESPONSES) == {"tools": [OWN]}
    none = {"tools": [SEARCH], "tool_choice": "required", "parallel_tool_calls": False}
    assert rewrite(none, remove, RESPONSES) == {}
    assert rewrite({"web_search_options": {}, "n": 1}, remove, CHAT) == {"n": 1}


def test_a_history_at_the_provider_is_cut_there() -> None:
    step = TrimContext(tokens=1, low=1)
    assert done(RESPONSES, step, previous_response_id="resp_1") == {"truncation": "auto"}
    assert done(CHAT, step) == {}


@pytest.mark.parametrize("wire", [CHAT, RESPONSES])
def test_the_last_message_stands_at_the_end(wire: WireFormat) -> None:
    assert done(wire, Finish())[wire.history] == [USER, {"role": "user", "content": FINISH}]
    prefilled = {wire.history: [USER, {"role": "assistant", "content": "I"}]}
    assert done(wire, Finish(), **prefilled) == {}


def test_the_last_message_of_a_plain_text_makes_a_list_of_it() -> None:
    assert done(RESPONSES, Finish(), input="words")["input"] == [
        {"role": "user", "content": "words"},
        {"role": "user", "content": FINISH},
    ]
    assert done(RESPONSES, Finish(), input=[]) == {}


def test_the_last_message_joins_the_users_where_roles_take_turns() -> None:
    said = {"type": "text", "text": FINISH}
    assert done(MESSAGES, Finish())["messages"][-1]["content"] == [{"type": "text", "text": "x"}, said]
    blocks = [{"type": "tool_result", "tool_use_id": "a", "cache_control": {"type": "ephemeral"}}]
    joined = done(MESSAGES, Finish(), messages=[{"role": "user", "content": blocks}])["messages"]
    assert joined == [{"role": "user", "content": [*blocks, said]}]
    assert done(MESSAGES, Finish(), messages=[{"role": "user", "content": ""}])["messages"][0]["content"] == [
        said
    ]
    assert done(MESSAGES, Finish(), messages=[USER, {"role": "assistant", "content": "I"}]) == {}
