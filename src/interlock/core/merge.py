"""Merging two values of one field: what the change does to authority, and the value that may stand at once.

Each merge takes the old and the new value and returns the value in which every narrowing of the new one is
in force and nothing is wider than the old one, with the changes in words (A3, invariant 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, cast

from interlock.core import narrowing
from interlock.core.document.rule import Conditions
from interlock.core.document.workflow import Grant
from interlock.core.wording import said

_IDENTITY = frozenset({"name", "environment"})


class Direction(StrEnum):
    """What a difference does to authority."""

    WIDENS = "widens"
    NARROWS = "narrows"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a merge found: in which field, in words, in which direction."""

    field: str
    words: str
    direction: Direction


Merged = tuple[Any, list[Change]]
Merge = Callable[[Any, Any], Merged]

WIDENS, NARROWS, NEITHER = Direction.WIDENS, Direction.NARROWS, Direction.NEITHER


def record(old: Any, new: Any, table: Mapping[str, Merge]) -> Merged:
    """Merge two records of one type field by field, as `table` says; any other change widens."""
    values: dict[str, Any] = {}
    changes: list[Change] = []
    for each in fields(old):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if each.name in _IDENTITY or equal(before, after):
            continue
        merge = table.get(each.name, value(each.name.replace("_", " ")))
        values[each.name], found = merge(before, after)
        changes += [
            Change(_joined(each.name, change.field), change.words, change.direction) for change in found
        ]
    return replace(old, **values), changes


def equal(old: Any, new: Any) -> bool:
    """Return whether two values of documents are the same; 1 is not true."""
    return narrowing.same(_comparable(old), _comparable(new))


def _comparable(value: Any) -> Any:
    """Return a value in the form that `narrowing.same` compares without mistaking 1 for true."""
    if isinstance(value, tuple):
        return [_comparable(each) for each in cast("tuple[Any, ...]", value)]
    if isinstance(value, Mapping):
        return {name: _comparable(each) for name, each in cast("Mapping[str, Any]", value).items()}
    if hasattr(value, "__dataclass_fields__"):
        return {each.name: _comparable(getattr(value, each.name)) for each in fields(value)}
    return value


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def value(
    label: str,
    judge: Callable[[Any, Any], Direction] = lambda _old, _new: WIDENS,
    say: Callable[[Any], str] = said,
) -> Merge:
    """Merge a plain value: the new one unless it widens."""

    def merge(old: Any, new: Any) -> Merged:
        direction = judge(old, new)
        words = f"{label} changed from {say(old)} to {say(new)}"
        return (old if direction is WIDENS else new), [Change("", words, direction)]

    return merge


def text(label: str) -> Merge:
    """Merge a description that no decision reads."""
    return lambda _old, new: (new, [Change("", f"{label} reworded", NEITHER)])


def lower(label: str, say: Callable[[int], str] = str) -> Merge:
    """Merge a limit: lower narrows, none is the widest."""
    return _limit(label, say, narrower=lambda old, new: new < old)


def higher(label: str, say: Callable[[int], str] = str) -> Merge:
    """Merge a floor: higher narrows, none is the widest."""
    return _limit(label, say, narrower=lambda old, new: new > old)


def _limit(label: str, say: Callable[[int], str], *, narrower: Callable[[int, int], bool]) -> Merge:
    def merge(old: int | None, new: int | None) -> Merged:
        narrows = new is not None and (old is None or narrower(old, new))
        before, after = ("no limit" if each is None else say(each) for each in (old, new))
        verb = "narrowed" if narrows else "widened"
        words = f"{label} {verb} from {before} to {after}"
        return (new if narrows else old), [Change("", words, NARROWS if narrows else WIDENS)]

    return merge


def names(label: str, *, keep_one: bool = False) -> Merge:
    """Merge names that each give authority: one more widens, one less narrows.

    With `keep_one` the old names stay when none of them would be left: an empty list may mean somebody else.
    """

    def merge(old: tuple[str, ...], new: tuple[str, ...]) -> Merged:
        added = [each for each in new if each not in old]
        removed = [each for each in old if each not in new]
        left = tuple(each for each in old if each in new)
        emptied = keep_one and not left
        changes = [Change("", f"{label} {each} added", WIDENS) for each in added]
        changes += [Change("", f"{label} {each} removed", WIDENS if emptied else NARROWS) for each in removed]
        if not changes:
            return new, [Change("", f"{label} order changed", NEITHER)]
        return (old if emptied else left), changes

    return merge


def guards(label: str) -> Merge:
    """Merge names that each restrict: one more narrows, one less widens."""

    def merge(old: tuple[str, ...], new: tuple[str, ...]) -> Merged:
        changes = [Change("", f"{label} {each} added", NARROWS) for each in new if each not in old]
        changes += [Change("", f"{label} {each} removed", WIDENS) for each in old if each not in new]
        changes = changes or [Change("", f"{label} order changed", NEITHER)]
        return (*new, *(each for each in old if each not in new)), changes

    return merge


def entries(label: str) -> Merge:
    """Merge a mapping whose entries each give authority: one more or another widens, one less narrows."""

    def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Merged:
        changes = [Change(each, f"{label} {each} removed", NARROWS) for each in old if each not in new]
        changes += [
            Change(name, f"{label} {name} changed from {said(old[name])} to {said(new[name])}", WIDENS)
            for name in old
            if name in new and not equal(old[name], new[name])
        ]
        changes += [
            Change(name, f"{label} {name} added: {said(new[name])}", WIDENS)
            for name in new
            if name not in old
        ]
        return {name: old[name] for name in old if name in new}, changes

    return merge


def allowed(label: str) -> Merge:
    """Merge a permission: taking it away narrows."""
    return value(label, lambda _old, new: WIDENS if new else NARROWS)


def inside(label: str, within: Merge, *, absent: Direction) -> Merge:
    """Merge an optional record; `absent` says what taking the whole of it away does."""

    def merge(old: Any, new: Any) -> Merged:
        if old is None or new is None:
            words, other = f"{label} {'added' if old is None else 'removed'}", _opposite(absent)
            direction = other if old is None else absent
            return (old if direction is WIDENS else new), [Change("", words, direction)]
        return within(old, new)

    return merge


def _opposite(direction: Direction) -> Direction:
    return {WIDENS: NARROWS, NARROWS: WIDENS, NEITHER: NEITHER}[direction]


def where(old: Conditions, new: Conditions) -> Merged:
    """Merge the conditions of a grant: all of them must hold, so one more narrows."""
    met: dict[str, Any] = {}
    changes: list[Change] = []
    for name in (*old, *(each for each in new if each not in old)):
        if name not in new:
            met[name] = old[name]
            changes.append(
                Change(name, f"{name} may now be anything (was {narrowing.words(old[name])})", WIDENS)
            )
        elif name not in old:
            met[name] = new[name]
            changes.append(Change(name, f"{name} must now be {narrowing.words(new[name])}", NARROWS))
        else:
            met[name] = narrowing.meet(old[name], new[name])
            changes += _condition(name, old[name], new[name])
    return met, changes


def _condition(name: str, old: Any, new: Any) -> list[Change]:
    if narrowing.same(old, new):
        return []
    narrows = narrowing.field_implies(new, old)
    verb = "narrowed" if narrows else "widened"
    words = f"{name} {verb} from {narrowing.words(old)} to {narrowing.words(new)}"
    return [Change(name, words, NARROWS if narrows else WIDENS)]


def keyed(
    label: str, name_of: Callable[[Any], str], pair: Callable[[Any, Any], Merged], *, added: Direction
) -> Merge:
    """Merge a list of named records; `added` says what one more of them does. Repeated names only widen."""

    def merge(old: tuple[Any, ...], new: tuple[Any, ...]) -> Merged:
        before, after = {name_of(each): each for each in old}, {name_of(each): each for each in new}
        if len(before) < len(old) or len(after) < len(new):
            return old, [Change("", f"{label}s changed, and one of them stands there twice", WIDENS)]
        met: list[Any] = []
        changes: list[Change] = []
        for name in (*before, *(each for each in after if each not in before)):
            kept, found = _one(before.get(name), after.get(name), pair, added=added)
            met.extend([] if kept is None else [kept])
            changes += [
                Change(_joined(name, each.field), f"{label} {name} {each.words}", each.direction)
                for each in found
            ]
        return tuple(met), changes or [Change("", f"{label} order changed", NEITHER)]

    return merge


def _one(old: Any, new: Any, pair: Callable[[Any, Any], Merged], *, added: Direction) -> Merged:
    if old is None:
        return (None if added is WIDENS else new), [Change("", f"added{_bounds(new)}", added)]
    if new is None:
        gone = _opposite(added)
        return (old if gone is WIDENS else None), [Change("", "removed", gone)]
    return pair(old, new)


def _bounds(new: Any) -> str:
    if not isinstance(new, Grant):
        return ""
    limits = [f"{name} {narrowing.words(asked)}" for name, asked in new.where.items()]
    limits += [f"at most {new.max_calls} calls a run"] if new.max_calls is not None else []
    return f": {', '.join(limits)}" if limits else " without limits"


def scope(old: Mapping[str, Any], new: Mapping[str, Any]) -> Merged:
    """Merge the values conditions refer to. Whether another value is narrower depends on who reads it."""
    changes = [Change(name, f"scope value {name} added", NEITHER) for name in new if name not in old]
    changes += [Change(name, f"scope value {name} removed", WIDENS) for name in old if name not in new]
    changes += [
        Change(name, f"scope value {name} changed", WIDENS)
        for name in old
        if name in new and not equal(old[name], new[name])
    ]
    return {**new, **old}, changes


def when(old: Conditions, new: Conditions) -> Merged:
    narrows = narrowing.still_caught(old, new)
    words = "catches more than before" if narrows else "no longer provably catches all that it caught"
    return (new if narrows else old), [Change("", words, NARROWS if narrows else WIDENS)]
