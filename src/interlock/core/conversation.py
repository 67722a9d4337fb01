"""The histories that agents send to models, in three wire formats, and the groups they fall into.

A group is what stays or goes together: a model's turn with its tool calls and all their results, or one
message by itself. `parts` answers None for a history it does not fully understand: nobody cuts that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import cast

from interlock.core.model import Json

Item = dict[str, Json]


class WireFormat(StrEnum):
    """The wire formats that agents speak to models in."""

    CHAT = "openai_chat"
    RESPONSES = "openai_responses"
    MESSAGES = "anthropic_messages"

    @property
    def history(self) -> str:
        """The member of a request body that holds the history."""
        return "input" if self is WireFormat.RESPONSES else "messages"


class Kind(StrEnum):
    """Whose words an item holds."""

    LEAD = "lead"
    USER = "user"
    MODEL = "model"
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One item of a history: whose it is, and which tool calls it makes or answers.

    The Responses API spreads a model's turn over several items; elsewhere an item is a `whole` turn.
    """

    kind: Kind
    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    reasons: bool = False
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The items from `start` up to `stop`, which stay or go together."""

    kind: Kind
    start: int
    stop: int


def history_of(body: Mapping[str, Json], wire: WireFormat) -> list[Item] | None:
    """Return the items of a request's history; None where it is a plain text or not a list of objects."""
    held = body.get(wire.history)
    if not isinstance(held, list) or not all(isinstance(item, dict) for item in cast(list[Json], held)):
        return None
    return cast(list[Item], held)


def blocks_of(content: Json) -> list[Item]:
    """Return the typed blocks of a message's content; none where it is a plain text."""
    if not isinstance(content, list):
        return []
    return [cast(Item, block) for block in cast(list[Json], content) if isinstance(block, dict)]


def parts(items: Iterable[Item], wire: WireFormat) -> list[Part] | None:
    """Return what each item is; None if one of them is not understood."""
    found: list[Part] = []
    for item in items:
        part = _READERS[wire](item)
        if part is None or "" in part.calls or "" in part.results:
            return None
        found.append(part)
    return found


def groups(found: Iterable[Part]) -> list[Group]:
    """Return the groups of a history, in order, without gaps."""
    turns: list[list[Part]] = []
    for part in found:
        if turns and _goes_on(turns[-1], part):
            turns[-1].append(part)
        else:
            turns.append([part])
    stops = list(accumulate(len(turn) for turn in turns))
    return [
        Group(kind=turn[0].kind, start=stop - len(turn), stop=stop)
        for turn, stop in zip(turns, stops, strict=True)
    ]


def fault(found: Sequence[Part]) -> str | None:
    """Say what a provider would refuse a history for, or None.

    It begins with a user's message; each result has its call before it in its group, each call its result.
    """
    first = next((part for part in found if part.kind is not Kind.LEAD), None)
    if first is None or first.kind is not Kind.USER:
        return "the history does not begin with a user's message"
    for group in groups(found):
        if not _complete(found[group.start : group.stop]):
            return "a tool call and its result are not together"
    return None


def _goes_on(turn: Sequence[Part], part: Part) -> bool:
    """Whether `part` belongs to the turn before it: the results of its calls, and what else it is made of.

    A turn in several items goes on until a result has come and no call is open; a call that came from
    reasoning stays with it, since a provider refuses one without the other.
    """
    if turn[0].kind in (Kind.LEAD, Kind.USER) or part.kind in (Kind.LEAD, Kind.USER):
        return False
    if part.kind is Kind.RESULT:
        return True
    if part.whole:
        return False
    reasoned = bool(part.calls) and any(each.reasons for each in turn)
    return reasoned or turn[-1].kind is Kind.MODEL or not _complete(turn)


def _complete(turn: Iterable[Part]) -> bool:
    """Whether every call of a turn has one result, and every result its call before it."""
    made: set[str] = set()
    answered: set[str] = set()
    for part in turn:
        if not made.isdisjoint(part.calls) or not answered.isdisjoint(part.results):
            return False
        made.update(part.calls)
        answered.update(part.results)
        if not answered <= made:
            return False
    return made == answered


def _id(item: Item, member: str) -> str:
    """Return what names a call; "" where nothing does, so that the item is not understood."""
    name = item.get(member)
    return name if isinstance(name, str) else ""


def _chat(item: Item) -> Part | None:
    match item.get("role"):
        case "system" | "developer":
            return Part(kind=Kind.LEAD)
        case "user":
            return Part(kind=Kind.USER)
        case "assistant":
            calls = [_id(call, "id") for call in blocks_of(item.get("tool_calls"))]
            if isinstance(item.get("function_call"), dict):
                calls.append(_id(item["function_call"], "name"))
            return Part(kind=Kind.MODEL, calls=tuple(calls))
        case "tool":
            return Part(kind=Kind.RESULT, results=(_id(item, "tool_call_id"),))
        case "function":
            return Part(kind=Kind.RESULT, results=(_id(item, "name"),))
        case _:
            return None


def _messages(item: Item) -> Part | None:
    blocks = blocks_of(item.get("content"))
    match item.get("role"):
        case "system":
            return Part(kind=Kind.LEAD)
        case "user":
            results = tuple(_id(each, "tool_use_id") for each in blocks if each.get("type") == "tool_result")
            return Part(kind=Kind.RESULT if results else Kind.USER, results=results)
        case "assistant":
            calls = tuple(_id(each, "id") for each in blocks if each.get("type") == "tool_use")
            return Part(kind=Kind.MODEL, calls=calls)
        case _:
            return None


def _responses(item: Item) -> Part | None:
    kind = item.get("type", "message")
    if kind == "message":
        return _spoken(item.get("role"))
    if kind == "mcp_approval_request":
        return Part(kind=Kind.MODEL, calls=(_id(item, "id"),), whole=False)
    if kind == "mcp_approval_response":
        return Part(kind=Kind.RESULT, results=(_id(item, "approval_request_id"),), whole=False)
    if not isinstance(kind, str) or kind == "item_reference":
        return None  # what is stored at the provider may be a call or a result
    if "call_id" in item and kind.endswith("_output"):
        return Part(kind=Kind.RESULT, results=(_id(item, "call_id"),), whole=False)
    calls = (_id(item, "call_id"),) if "call_id" in item else ()
    return Part(kind=Kind.MODEL, calls=calls, reasons=kind == "reasoning", whole=False)


def _spoken(role: Json) -> Part | None:
    match role:
        case "system" | "developer":
            return Part(kind=Kind.LEAD)
        case "user":
            return Part(kind=Kind.USER)
        case "assistant":
            return Part(kind=Kind.MODEL, whole=False)
        case _:
            return None


_READERS: dict[WireFormat, Callable[[Item], Part | None]] = {
    WireFormat.CHAT: _chat,
    WireFormat.RESPONSES: _responses,
    WireFormat.MESSAGES: _messages,
}
