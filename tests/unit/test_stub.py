"""A stub says what was left out and keeps every id, error flag and cache mark in place."""

from __future__ import annotations

from typing import Any

from interlock.core.conversation import WireFormat
from interlock.core.stub import stubbed, tool_names, without_images

LONG = "r" * 500
MARK = {"type": "ephemeral"}


def test_a_stub_names_the_tool_and_the_size() -> None:
    item = {"role": "tool", "tool_call_id": "a", "content": LONG}
    assert stubbed(item, WireFormat.CHAT, {"a": "search"}) == {
        **item,
        "content": "[The result of search was left out to save context: 502 bytes.]",
    }
    assert "The result of a tool was" in stubbed(item, WireFormat.CHAT, {})["content"]


def test_small_results_and_other_items_are_left_alone() -> None:
    for wire, item in (
        (WireFormat.CHAT, {"role": "tool", "tool_call_id": "a", "content": "short"}),
        (WireFormat.CHAT, {"role": "assistant", "content": LONG}),
        (WireFormat.MESSAGES, {"role": "user", "content": LONG}),
        (WireFormat.RESPONSES, {"type": "computer_call_output", "call_id": "a", "output": {"x": LONG}}),
        (WireFormat.RESPONSES, {"role": "user", "content": LONG}),
    ):
        assert stubbed(item, wire, {}) is item


def test_a_custom_tools_output_is_stubbed_too() -> None:
    item = {"type": "custom_tool_call_output", "call_id": "a", "output": LONG}
    assert "left out" in stubbed(item, WireFormat.RESPONSES, {"a": "t"})["output"]


def test_error_flags_stay_and_the_mark_of_what_goes_moves_out() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "a",
        "is_error": True,
        "content": [{"type": "text", "text": LONG, "cache_control": MARK}],
    }
    item: dict[str, Any] = {"role": "user", "content": [result, {"type": "text", "text": "go on"}, "odd"]}
    small, words, odd = stubbed(item, WireFormat.MESSAGES, {"a": "t"})["content"]
    assert (small["is_error"], small["cache_control"], small["tool_use_id"]) == (True, MARK, "a")
    assert words == {"type": "text", "text": "go on"}
    assert odd == "odd"
    assert "cache_control" not in result


def test_a_mark_of_the_result_itself_stays() -> None:
    inner = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    result = {"type": "tool_result", "tool_use_id": "a", "content": inner, "cache_control": MARK}
    done = stubbed({"role": "user", "content": [result]}, WireFormat.MESSAGES, {})
    assert done["content"][0]["cache_control"] == MARK
    assert "left out" in done["content"][0]["content"]


def test_images_become_a_line_of_text_in_the_formats_own_words() -> None:
    for kind, words in (("image_url", "text"), ("input_image", "input_text"), ("image", "text")):
        item = {"role": "user", "content": [{"type": kind, "cache_control": MARK}, "odd", {"type": words}]}
        line, odd, rest = without_images(item)["content"]
        assert (line["type"], line["cache_control"]) == (words, MARK)
        assert line["text"].startswith("[An image")
        assert (odd, rest) == ("odd", {"type": words})
    plain = {"role": "user", "content": "words"}
    assert without_images(plain) is plain


def test_tools_are_named_by_the_ids_of_their_calls() -> None:
    chat = {"tool_calls": [{"id": "a", "function": {"name": "f"}}, {"id": "b", "custom": {"name": "g"}}]}
    assert {"a": "f", "b": "g"}.items() <= tool_names(chat).items()
    messages = {"content": [{"type": "tool_use", "id": "c", "name": "h" * 99}]}
    assert tool_names(messages)["c"] == "h" * 64
    assert tool_names({"type": "function_call", "call_id": "d", "id": "fc", "name": "i"})["d"] == "i"
    assert tool_names({"id": "e", "function": "odd", "name": 3})["e"] == ""
