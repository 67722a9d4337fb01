"""Histories as agents send them, in three wire formats: random ones, and what a provider demands of them.

`refused` is written from the providers' rules, not from the code under test.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from interlock.core.conversation import WireFormat

Item = dict[str, Any]
Turn = tuple[str, list[int]]  # what a model said, and the sizes of the results of its tool calls

texts = st.text(alphabet='abc é😀"\\', min_size=1, max_size=40)
turns = st.tuples(texts, st.lists(st.sampled_from([5, 300, 3_000]), max_size=4))
stories = st.lists(st.one_of(texts, st.just("image"), turns), min_size=0, max_size=14)


def history(wire: WireFormat, story: list[Any], *, lead: bool = True) -> list[Item]:
    """Return a coherent history: instructions, a task, then the `story` of user's words and model's turns."""
    builder = {WireFormat.CHAT: _chat, WireFormat.RESPONSES: _responses, WireFormat.MESSAGES: _messages}[wire]
    items: list[Item] = []
    if lead and wire is not WireFormat.MESSAGES:
        items.append({"role": "system", "content": "You are careful."})
    items.append({"role": "user", "content": "The task."})
    for number, each in enumerate(story):
        items.extend(builder(each, number))
    return items


def body(wire: WireFormat, items: list[Item], **members: Any) -> dict[str, Any]:
    """Return a request body around a history."""
    return {"model": "dear-1", wire.history: items, **members}


def refused(wire: WireFormat, items: list[Item]) -> str | None:
    """Say what the provider would answer 400 for, or None."""
    spoken = [item for item in items if item.get("role") not in ("system", "developer")]
    if not spoken or spoken[0].get("role") != "user":
        return "the first message is not a user's"
    check = {WireFormat.CHAT: _refused_chat, WireFormat.RESPONSES: _refused_responses}
    return check.get(wire, _refused_messages)(spoken)


def marks(value: Any) -> int:
    """Return how many cache marks stand anywhere in a value."""
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(marks(each) for each in value.values())
    return sum(marks(each) for each in value) if isinstance(value, list) else 0


def _user(text: str, image: Item, words: str) -> Item:
    if text != "image":
        return {"role": "user", "content": text}
    return {"role": "user", "content": [{"type": words, "text": "look"}, image]}


def _chat(told: Any, number: int) -> list[Item]:
    if isinstance(told, str):
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000}}
        return [_user(told, image, "text")]
    said, sizes = told
    calls = [
        {
            "id": f"c{number}.{each}",
            "type": "function",
            "function": {"name": f"tool{each}", "arguments": "{}"},
        }
        for each in range(len(sizes))
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "r" * size}
        for call, size in zip(calls, sizes, strict=True)
    ]
    return [{"role": "assistant", "content": said, **({"tool_calls": calls} if calls else {})}, *results]


def _responses(told: Any, number: int) -> list[Item]:
    if isinstance(told, str):
        image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 9_000}
        return [_user(told, image, "input_text")]
    said, sizes = told
    ids = [f"c{number}.{each}" for each in range(len(sizes))]
    calls = [
        {"type": "function_call", "id": f"fc_{each}", "call_id": each, "name": "tool", "arguments": "{}"}
        for each in ids
    ]
    results = [
        {"type": "function_call_output", "call_id": each, "output": "r" * size}
        for each, size in zip(ids, sizes, strict=True)
    ]
    thought = {"type": "reasoning", "id": f"rs_{number}", "encrypted_content": "x" * 30, "summary": []}
    message = {"role": "assistant", "content": [{"type": "output_text", "text": said}]}
    if number % 2:  # in parallel, all results after all calls
        return [thought, message, *calls, *results]
    pairs = [item for pair in zip(calls, results, strict=True) for item in pair]
    return [*([thought] if number % 4 else []), *(pairs or [message])]


def _messages(told: Any, number: int) -> list[Item]:
    if isinstance(told, str):
        image = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "A" * 9_000},
        }
        return [_user(told, {**image, "cache_control": {"type": "ephemeral"}}, "text")]
    said, sizes = told
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    calls = [
        {"type": "tool_use", "id": f"c{number}.{each}", "name": f"tool{each}", "input": {}}
        for each in range(len(sizes))
    ]
    results = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "r" * size}]}
        for call, size in zip(calls, sizes, strict=True)
    ]
    turn = {"role": "assistant", "content": [thought, {"type": "text", "text": said}, *calls]}
    also = (
        [{"type": "text", "text": "go on", "cache_control": {"type": "ephemeral"}}] if number % 3 == 0 else []
    )
    return [turn, {"role": "user", "content": [*results, *also]}] if results else [turn]


def _refused_chat(items: list[Item]) -> str | None:
    open_calls: set[str] = set()
    for item in items:
        if item["role"] == "tool":
            if item["tool_call_id"] not in open_calls:
                return "messages with role 'tool' must follow a message with 'tool_calls'"
            open_calls.remove(item["tool_call_id"])
        elif open_calls:
            return "tool_call_ids did not have response messages"
        else:
            open_calls = {call["id"] for call in item.get("tool_calls", [])}
    return "tool_call_ids did not have response messages" if open_calls else None


def _refused_responses(items: list[Item]) -> str | None:
    made: set[str] = set()
    answered: set[str] = set()
    for item, following in zip(items, [*items[1:], {}], strict=True):
        kind = item.get("type", "message")
        if kind == "function_call":
            made.add(item["call_id"])
        elif kind == "function_call_output":
            if item["call_id"] not in made:
                return "No tool call found for function call output"
            answered.add(item["call_id"])
        elif kind == "reasoning" and following.get("role") != "assistant" and "call_id" not in following:
            return "Item of type 'reasoning' was provided without its required following item"
    return None if made == answered else "No tool output found for function call"


def _refused_messages(items: list[Item]) -> str | None:
    open_calls: set[str] = set()
    for item in items:
        blocks = item["content"] if isinstance(item["content"], list) else []
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != open_calls:
            return "tool_use ids were found without tool_result blocks immediately after"
        open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if any(block.get("text") == "" for block in blocks):
            return "text content blocks must be non-empty"
        if not item["content"]:
            return "messages must have non-empty content"
    return "tool_use ids were found without tool_result blocks immediately after" if open_calls else None
