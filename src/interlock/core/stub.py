"""What takes the place of old tool results and images when a context is trimmed (B4).

Ids and error flags stay, so that every call keeps its result. A cache mark inside what goes moves to the
block that stays. Nothing here is given to a model as an instruction; it only says what was left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from interlock.core.conversation import Item, WireFormat, blocks_of
from interlock.core.model import Json
from interlock.core.weight import weigh

SMALL = 200
_NAME = 64
_MARK = "cache_control"
_IMAGE = "[An image of an earlier turn was left out to save context.]"
_IMAGES = {"image_url": "text", "input_image": "input_text", "image": "text"}
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def tool_names(item: Item) -> dict[str, str]:
    """Return the tools that a model's item calls, by the id of the call."""
    made = [*blocks_of(item.get("tool_calls")), *blocks_of(item.get("content")), item]
    return {_text(call.get("call_id") or call.get("id")): _name(call) for call in made}


def stubbed(item: Item, wire: WireFormat, tools: Mapping[str, str]) -> Item:
    """Return `item` with the content of its tool results replaced; small ones are not worth it."""
    if wire is WireFormat.MESSAGES:
        content = item.get("content")
        if not any(_is_result(block) for block in blocks_of(content)):
            return item
        return {**item, "content": [_result_block(block, tools) for block in cast(list[Json], content)]}
    if wire is WireFormat.CHAT and item.get("role") in ("tool", "function"):
        called = _text(item.get("tool_call_id"))
        return _with_stub(item, "content", tools.get(called, ""))
    if wire is WireFormat.RESPONSES and item.get("type") in _OUTPUTS:
        return _with_stub(item, "output", tools.get(_text(item.get("call_id")), ""))
    return item


def without_images(item: Item) -> Item:
    """Return `item` with each image replaced by a line of text."""
    content = item.get("content")
    if not any(block.get("type") in _IMAGES for block in blocks_of(content)):
        return item
    return {**item, "content": [_without_image(block) for block in cast(list[Json], content)]}


def _without_image(block: Json) -> Json:
    if not isinstance(block, dict) or (kind := cast(Item, block).get("type")) not in _IMAGES:
        return cast(Json, block)
    mark = {name: value for name, value in cast(Item, block).items() if name == _MARK}
    return {"type": _IMAGES[cast(str, kind)], "text": _IMAGE, **mark}


def _is_result(block: Item) -> bool:
    return block.get("type") == "tool_result"


def _result_block(block: Json, tools: Mapping[str, str]) -> Json:
    if not isinstance(block, dict) or not _is_result(cast(Item, block)):
        return cast(Json, block)
    result = cast(Item, block)
    marks = [each[_MARK] for each in blocks_of(result.get("content")) if _MARK in each]
    small = _with_stub(result, "content", tools.get(_text(result.get("tool_use_id")), ""))
    if small is not result and marks:
        small.setdefault(_MARK, marks[-1])
    return small


def _with_stub(item: Item, member: str, tool: str) -> Item:
    weight = weigh(item.get(member))
    if weight <= SMALL:
        return item
    return {
        **item,
        member: f"[The result of {tool or 'a tool'} was left out to save context: {weight} bytes.]",
    }


def _name(call: Item) -> str:
    named = call.get("function") or call.get("custom") or call
    return _text(cast(Item, named).get("name"))[:_NAME] if isinstance(named, dict) else ""


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
