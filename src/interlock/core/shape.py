"""A model call as the ladder needs it, read off its decoded body in any of the three wire formats (B4).

Sizes come from what was learned of the agent's calls; here they meet what the caller asked for. What a body
says in a form that is not understood is left out: the ladder then has nothing to change there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from interlock.core.conversation import Item, WireFormat, blocks_of
from interlock.core.ladder import Call
from interlock.core.model import Ability, Json
from interlock.core.trimming import Keeping, untouchable
from interlock.core.weight import weigh

CAPS: dict[WireFormat, tuple[str, ...]] = {
    WireFormat.CHAT: ("max_completion_tokens", "max_tokens"),
    WireFormat.RESPONSES: ("max_output_tokens",),
    WireFormat.MESSAGES: ("max_tokens",),
}
"""Where each format says how long an answer may be."""

_USUAL_SERVER_CALLS = 3
_SERVER_TOOLS = {
    "web_search": "web_search",
    "web_fetch": "web_fetch",
    "file_search": "file_search",
    "code_interpreter": "code_execution",
    "code_execution": "code_execution",
    "image_generation": "image_generation",
}
_IMAGES = frozenset({"image_url", "input_image", "image"})
_SCHEMAS = frozenset({"json_schema", "json_object"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a call is expected to come to, in tokens: `cached` of the input, `reasoning` of the output."""

    input: int
    output: int
    cached: int = 0
    reasoning: int | None = None


def shape_of(body: Mapping[str, Json], wire: WireFormat, expected: Expected, keeping: Keeping) -> Call:
    """Return the call that a body asks for. A cap is on the output, whatever was expected of it."""
    cap = output_cap(body, wire)
    output = expected.output if cap is None else min(expected.output, cap)
    effort, thinking = effort_of(body, wire), thinking_of(body)
    reasoning = expected.reasoning
    if reasoning is None:  # nothing learned yet: half, if it was asked for at all
        reasoning = output // 2 if (effort or thinking) else 0
    whole = weigh(body)
    return Call(
        wire=wire,
        model=_text(body.get("model")),
        input=expected.input,
        output=output,
        cached=min(expected.cached, expected.input),
        fixed=expected.input * untouchable(body, wire, keeping) // whole,
        reasoning=min(reasoning, output),
        output_cap=cap,
        effort=effort,
        thinking=thinking,
        answers=max(_count(body.get("n")) or 1, _count(body.get("best_of")) or 1),
        service_tier=_text(body.get("service_tier")),
        server_tools={name: _uses(tool) for tool, name in server_tools(body)},
        needs=frozenset(_needs(body)),
        remote=bool(body.get("previous_response_id") or body.get("conversation")),
    )


def output_cap(body: Mapping[str, Json], wire: WireFormat) -> int | None:
    """Return how many tokens the caller allows an answer; None where it does not say."""
    said = [cap for name in CAPS[wire] if (cap := _count(body.get(name))) is not None]
    return min(said, default=None)


def effort_of(body: Mapping[str, Json], wire: WireFormat) -> str | None:
    """Return how hard the caller wants the model to reason; None where it does not say."""
    if wire is WireFormat.CHAT:
        return _text(body.get("reasoning_effort")) or None
    if wire is WireFormat.RESPONSES:
        return _text(member(body, "reasoning").get("effort")) or None
    said = _text(member(body, "output_config").get("effort"))
    adaptive = member(body, "thinking").get("type") == "adaptive"
    return said or ("high" if adaptive else None)


def thinking_of(body: Mapping[str, Json]) -> int | None:
    """Return the tokens that the caller gives the model to think; None where it does not."""
    thinking = member(body, "thinking")
    return _count(thinking.get("budget_tokens")) if thinking.get("type") == "enabled" else None


def server_tools(body: Mapping[str, Json]) -> Iterator[tuple[Item, str]]:
    """Yield what in the body makes the provider run a tool and charge for it, with the tool's name."""
    for tool in blocks_of(body.get("tools")):
        name = server_tool(tool)
        if name:
            yield tool, name
    if isinstance(body.get("web_search_options"), dict):
        yield member(body, "web_search_options"), "web_search"


def server_tool(tool: Item) -> str:
    """Return which of the provider's tools a declaration names, as usage does; "" for the caller's own."""
    kind = _text(tool.get("type"))
    return next((name for start, name in _SERVER_TOOLS.items() if kind.startswith(start)), "")


def member(body: Mapping[str, Json], name: str) -> Item:
    """Return an object in the body; an empty one where there is none."""
    held = body.get(name)
    return cast(Item, held) if isinstance(held, dict) else {}


def _needs(body: Mapping[str, Json]) -> Iterator[Ability]:
    if any(not server_tool(tool) for tool in blocks_of(body.get("tools"))):
        yield Ability.TOOLS
    if _shows_image(body.get("messages")) or _shows_image(body.get("input")):
        yield Ability.VISION
    formats = (
        member(body, "response_format"),
        member(member(body, "text"), "format"),
        member(member(body, "output_config"), "format"),
        member(body, "output_format"),
    )
    if any(each.get("type") in _SCHEMAS for each in formats):
        yield Ability.STRUCTURED


def _shows_image(value: Json) -> bool:
    """Whether an image stands anywhere in a history: in a message, or in what a tool returned."""
    if isinstance(value, list):
        return any(_shows_image(each) for each in cast(list[Json], value))
    if not isinstance(value, dict):
        return False
    item = cast(Item, value)
    return (
        item.get("type") in _IMAGES or _shows_image(item.get("content")) or _shows_image(item.get("output"))
    )


def _uses(tool: Item) -> int:
    most = _count(tool.get("max_uses"))
    return _USUAL_SERVER_CALLS if most is None else min(most, _USUAL_SERVER_CALLS)


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
