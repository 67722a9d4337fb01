"""A request body with steps of the ladder applied, in its own wire format (B4).

The caller's body is never changed, a copy is made of what changes. Tool schemas and response formats are
never touched. Members that belong together stay consistent: a thinking budget under its cap, no choice of
a tool that is gone, no thinking that was signed by a model which no longer serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never, cast

from interlock.core.conversation import Item, Kind, WireFormat, blocks_of, history_of, parts
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
from interlock.core.model import Json
from interlock.core.rung import LEAST_THINKING, LOW
from interlock.core.shape import CAPS, effort_of, member, server_tool, thinking_of

Body = dict[str, Json]

FINISH = (
    "The budget of this task is nearly spent. Give the best result you can now, from what you already have. "
    "Do not start new work. Say briefly what is missing or unchecked."
)
_SIGNED = frozenset({"thinking", "redacted_thinking"})
_SIGNED_MEMBERS = frozenset({"reasoning_details", "thinking_blocks"})
_COUNTED = frozenset({"web_search", "web_fetch"})
_NO_WORDS: Json = {"type": "text", "text": "(no words)"}


def rewrite(body: Mapping[str, Json], steps: Iterable[Step], wire: WireFormat) -> Body:
    """Return `body` with `steps` applied in their order. What trims its history is done by `trimming`."""
    done = dict(body)
    for step in steps:
        done = _apply(done, step, wire)
    return done


def _apply(body: Body, step: Step, wire: WireFormat) -> Body:
    match step:
        case SwapModel():
            return _swap(body, step, wire)
        case LowerEffort():
            return _lower_effort(body, wire)
        case CapOutput(tokens=tokens):
            return _cap(body, tokens, wire)
        case OneAnswer():
            return {name: 1 if name in ("n", "best_of") else value for name, value in body.items()}
        case PlainTier(tier=tier):
            return {**body, "service_tier": tier}
        case FewerServerTools(how=how):
            return _limit_tools(body, wire) if how is ServerTools.LIMIT else _remove_tools(body)
        case TrimContext():
            return {**body, "truncation": "auto"} if wire is WireFormat.RESPONSES else body
        case Finish():
            return _told(body, wire)
        case _:
            assert_never(step)


def _swap(body: Body, step: SwapModel, wire: WireFormat) -> Body:
    swapped = _unsigned({**body, "model": step.model}, wire)
    if step.reasons is False:
        swapped = _unreasoning(swapped, wire)
    return swapped if step.max_output is None else _lower_caps(swapped, step.max_output, wire)


def _lower_effort(body: Body, wire: WireFormat) -> Body:
    if wire is WireFormat.CHAT:
        return {**body, "reasoning_effort": LOW}
    if wire is WireFormat.RESPONSES:
        return {**body, "reasoning": {**member(body, "reasoning"), "effort": LOW}}
    lowered = _think_at_most(body, LEAST_THINKING)
    if effort_of(body, wire) is not None:
        lowered["output_config"] = {**member(body, "output_config"), "effort": LOW}
    return lowered


def _cap(body: Body, tokens: int, wire: WireFormat) -> Body:
    if not any(name in body for name in CAPS[wire]):
        return {**body, _unset_cap(body, wire): tokens}
    return _lower_caps(body, tokens, wire)


def _unset_cap(body: Body, wire: WireFormat) -> str:
    """Return where to put a cap that the caller did not set: the older name is the one that all servers know,
    but models that reason refuse it.
    """
    return CAPS[wire][0 if "reasoning_effort" in body else -1]


def _lower_caps(body: Body, tokens: int, wire: WireFormat) -> Body:
    """Lower whichever cap the caller used, and keep the thinking below it."""
    caps = {name: min(body[name], tokens) for name in CAPS[wire] if isinstance(body.get(name), int)}
    return _think_at_most({**body, **caps}, tokens - 1)


def _think_at_most(body: Body, tokens: int) -> Body:
    """Lower a thinking budget; below what the provider allows it is switched off."""
    budget = thinking_of(body)
    if budget is None or budget <= tokens:
        return dict(body)
    if tokens < LEAST_THINKING:
        return {**body, "thinking": {"type": "disabled"}}
    return {**body, "thinking": {**member(body, "thinking"), "budget_tokens": tokens}}


def _unreasoning(body: Body, wire: WireFormat) -> Body:
    """Ask for no reasoning of a model that has none: its provider would refuse the request."""
    if wire is WireFormat.MESSAGES:
        body = {name: value for name, value in body.items() if name != "thinking"}
        config = {name: value for name, value in member(body, "output_config").items() if name != "effort"}
        return _replaced(body, "output_config", config)
    wanted = [each for each in _list(body.get("include")) if each != "reasoning.encrypted_content"]
    body = _replaced(body, "include", wanted)
    return {name: value for name, value in body.items() if name not in ("reasoning", "reasoning_effort")}


def _unsigned(body: Body, wire: WireFormat) -> Body:
    """Take out what only the model that wrote it can read: signed or encrypted reasoning."""
    items = history_of(body, wire)
    if items is None:
        return body
    if wire is WireFormat.CHAT:
        kept = [{name: v for name, v in item.items() if name not in _SIGNED_MEMBERS} for item in items]
    elif wire is WireFormat.RESPONSES:
        kept = _without_reasoning(items)
    else:
        kept = [_without_thinking(item) for item in items]
        if kept != items and _in_tool_loop(items):
            body = _without_thinking_ahead(body)
    return {**body, wire.history: kept}


def _without_reasoning(items: list[Item]) -> list[Item]:
    """Drop reasoning items, and the ids by which the provider would miss them on what came of them."""
    if not any(item.get("type") == "reasoning" for item in items):
        return items
    found = parts(items, WireFormat.RESPONSES)
    if found is None:
        return items
    return [
        {name: v for name, v in item.items() if name != "id"} if _came_of_reasoning(item) else item
        for item, part in zip(items, found, strict=True)
        if not part.reasons
    ]


def _came_of_reasoning(item: Item) -> bool:
    return "call_id" in item or item.get("role") == "assistant"


def _without_thinking(item: Item) -> Item:
    if not any(block.get("type") in _SIGNED for block in blocks_of(item.get("content"))):
        return item
    said = [block for block in blocks_of(item.get("content")) if block.get("type") not in _SIGNED]
    return {**item, "content": said or [_NO_WORDS]}


def _in_tool_loop(items: list[Item]) -> bool:
    """Whether the last message brings results: the turn before it then had to begin with its thinking."""
    found = parts(items, WireFormat.MESSAGES)
    return bool(found) and found[-1].kind is Kind.RESULT


def _without_thinking_ahead(body: Body) -> Body:
    return {**body, "thinking": {"type": "disabled"}} if "thinking" in body else body


def _limit_tools(body: Body, wire: WireFormat) -> Body:
    """Let the provider run each of its tools once, in the words that the format has for it."""
    if wire is WireFormat.RESPONSES:
        return {**body, "max_tool_calls": 1}
    limited = dict(body)
    if wire is WireFormat.CHAT:
        limited["web_search_options"] = {**member(body, "web_search_options"), "search_context_size": "low"}
        return limited
    limited["tools"] = [
        {**tool, "max_uses": 1} if server_tool(tool) in _COUNTED else tool
        for tool in blocks_of(body["tools"])
    ]
    return limited


def _remove_tools(body: Body) -> Body:
    """Remove the provider's tools, and a choice that would name one or have none to choose from."""
    kept = [tool for tool in blocks_of(body.get("tools")) if not server_tool(tool)]
    body = {name: value for name, value in body.items() if name != "web_search_options"}
    if kept == body.get("tools", []):
        return body
    chosen = member(body, "tool_choice")
    gone = bool(server_tool(chosen)) or bool(server_tool({"type": chosen.get("name")}))
    without = {"tool_choice"} if gone or not kept else set[str]()
    if not kept:
        without |= {"parallel_tool_calls"}
    return _replaced({name: v for name, v in body.items() if name not in without}, "tools", kept)


def _told(body: Body, wire: WireFormat) -> Body:
    """Add the last message. At the end, so that the provider's prompt cache keeps what comes before it."""
    if wire is WireFormat.RESPONSES and isinstance(body.get("input"), str):
        items = [{"role": "user", "content": body["input"]}]
    else:
        items = history_of(body, wire)
    if not items:
        return body
    last = items[-1]
    if wire is WireFormat.MESSAGES and last.get("role") == "user":
        return {**body, wire.history: [*items[:-1], {**last, "content": [*_blocks(last), _said()]}]}
    if wire is WireFormat.MESSAGES or last.get("role") == "assistant":
        return body  # words are put into the model's mouth: it goes on from there
    return {**body, wire.history: [*items, {"role": "user", "content": FINISH}]}


def _said() -> Json:
    return {"type": "text", "text": FINISH}


def _blocks(item: Item) -> list[Json]:
    content = item.get("content")
    return [{"type": "text", "text": content}] if content and isinstance(content, str) else _list(content)


def _replaced(body: Body, name: str, value: list[Json] | list[Item] | Item) -> Body:
    """Return `body` with a member replaced where it has it, and without it where nothing is left of it."""
    if name not in body:
        return body
    rest = {each: held for each, held in body.items() if each != name}
    return {**rest, name: value} if value else rest


def _list(value: Json) -> list[Json]:
    return cast(list[Json], value) if isinstance(value, list) else []
