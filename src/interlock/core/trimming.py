"""How a context is made smaller without breaking it: in whole groups, from the oldest on (B4).

First old tool results become stubs, then old images a line of text, then whole groups go. Instructions, the
task, what is pinned and the last groups stay. The cut goes below its target and is remembered for the
run: a cut that moved with every call would destroy the provider's prompt cache. What would not validate,
before or after, is returned uncut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from interlock.core.conversation import Group, Item, Kind, WireFormat, fault, groups, history_of, parts
from interlock.core.model import Json
from interlock.core.stub import stubbed, tool_names, without_images
from interlock.core.weight import weigh

_NOT_UNDERSTOOD = "the history is not fully understood"
_NOTHING_LEFT = "nothing more can be left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is never cut: the last `groups` (at least one), and the items whose indices are `pinned`."""

    groups: int = 4
    pinned: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How far a history is cut, in groups from its start: results stubbed, images left out, groups dropped.

    `anchor` is the digest of the last group it touches: another history is not cut by it.
    """

    stubbed: int = 0
    images: int = 0
    dropped: int = 0
    anchor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """A body after trimming, its weight, and the cut to remember. `why` says why it is uncut, if it is."""

    body: Mapping[str, Json]
    weight: int
    cut: Cut | None = None
    why: str | None = None


def trim(
    body: Mapping[str, Json],
    wire: WireFormat,
    *,
    target: int,
    low: int,
    keeping: Keeping,
    cut: Cut | None = None,
) -> Trimmed:
    """Return `body` cut as before where that is enough for `target`, else cut further, down to `low`.

    Both are weights of the whole body. What is never cut can be heavier than either.
    """
    history = _read(body, wire, keeping)
    if isinstance(history, str):
        return Trimmed(body=body, weight=weigh(body), why=history)
    known = cut if cut is not None and history.holds(cut) else Cut()
    chosen = known if history.weight(known) <= target else history.deepened(known, low)
    if chosen == Cut():
        return Trimmed(body=body, weight=history.whole, why=_NOTHING_LEFT)
    items = history.cut(chosen)
    wrong = _wrong(items, wire)
    uncut = Trimmed(body=body, weight=history.whole, why=wrong)
    done = Trimmed(body={**body, wire.history: items}, weight=history.weight(chosen), cut=chosen)
    return uncut if wrong else done


def untouchable(body: Mapping[str, Json], wire: WireFormat, keeping: Keeping) -> int:
    """Return the weight of what trimming cannot take away; all of it where the history cannot be cut."""
    history = _read(body, wire, keeping)
    if isinstance(history, str):
        return weigh(body)
    every = len(history.groups)
    return history.weight(Cut(stubbed=every, images=every, dropped=every))


def digest(items: list[Item]) -> str:
    """Return what tells items apart: a SHA-256 over them without cache marks, which clients move about."""
    text = json.dumps(_unmarked(items), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """A history that may be cut: its groups, which of them are loose, and what each step takes off them."""

    wire: WireFormat
    items: list[Item]
    groups: list[Group]
    loose: list[int]
    whole: int
    saved: dict[str, dict[int, int]]

    def weight(self, cut: Cut) -> int:
        """Return the weight of the whole body after `cut`."""
        taken = (
            sum(saves for index, saves in self.saved[step].items() if index < getattr(cut, step))
            for step in _STEPS
        )
        return self.whole - sum(taken)

    def holds(self, cut: Cut) -> bool:
        """Whether this is the history that `cut` was made for, grown or not."""
        return 0 < cut.stubbed <= len(self.groups) and self._digest(cut.stubbed - 1) == cut.anchor

    def deepened(self, cut: Cut, low: int) -> Cut:
        """Return `cut`, moved on until the body weighs at most `low` or nothing is left to take."""
        weight = self.weight(cut)
        reached = {step: int(getattr(cut, step)) for step in _STEPS}
        for step in _STEPS:
            for index in self.loose:
                if weight > low and index >= reached[step]:
                    weight -= self.saved[step][index]
                    reached[step] = index + 1
        if not any(reached.values()):
            return Cut()
        return Cut(**reached, anchor=self._digest(reached["stubbed"] - 1))

    def cut(self, cut: Cut) -> list[Item]:
        """Return the items that are left."""
        kept: list[Item] = []
        for index, group in enumerate(self.groups):
            items = self.items[group.start : group.stop]
            if index in self.saved["dropped"]:
                items = [] if index < cut.dropped else items
                items = _stubs(items, self.wire) if index < cut.stubbed else items
                items = [without_images(item) for item in items] if index < cut.images else items
            kept.extend(items)
        return kept

    def _digest(self, index: int) -> str:
        group = self.groups[index]
        return digest(self.items[group.start : group.stop])


_STEPS = ("stubbed", "images", "dropped")


def _read(body: Mapping[str, Json], wire: WireFormat, keeping: Keeping) -> _History | str:
    """Return the history of a body, or why it is not cut."""
    items = history_of(body, wire)
    wrong = _wrong(items, wire)
    if items is None or wrong is not None:
        return wrong or _NOT_UNDERSTOOD
    fallen = groups(parts(items, wire) or ())
    loose = _loose(fallen, keeping)
    saved = {step: dict[int, int]() for step in _STEPS}
    for index in loose:
        whole = items[fallen[index].start : fallen[index].stop]
        small = _stubs(whole, wire)
        blind = [without_images(item) for item in small]
        heavy, lighter, lightest = _weight(whole), _weight(small), _weight(blind)
        saved["stubbed"][index] = heavy - lighter
        saved["images"][index] = lighter - lightest
        saved["dropped"][index] = lightest
    return _History(wire=wire, items=items, groups=fallen, loose=loose, whole=weigh(body), saved=saved)


def _wrong(items: list[Item] | None, wire: WireFormat) -> str | None:
    found = None if items is None else parts(items, wire)
    return _NOT_UNDERSTOOD if found is None else fault(found)


def _loose(fallen: list[Group], keeping: Keeping) -> list[int]:
    """Return which groups may be cut: not instructions, the task, what is pinned, or the last ones."""
    task = next(index for index, group in enumerate(fallen) if group.kind is Kind.USER)
    last = len(fallen) - max(keeping.groups, 1)
    return [
        index
        for index, group in enumerate(fallen[:last] if last > 0 else [])
        if group.kind is not Kind.LEAD
        and index != task
        and keeping.pinned.isdisjoint(range(group.start, group.stop))
    ]


def _stubs(items: list[Item], wire: WireFormat) -> list[Item]:
    tools = {call: name for item in items for call, name in tool_names(item).items()}
    return [stubbed(item, wire, tools) for item in items]


def _weight(items: list[Item]) -> int:
    return sum(weigh(item) + 1 for item in items)


def _unmarked(value: Json) -> Json:
    if isinstance(value, dict):
        members = cast(dict[str, Json], value)
        return {name: _unmarked(each) for name, each in members.items() if name != "cache_control"}
    return [_unmarked(each) for each in cast(list[Json], value)] if isinstance(value, list) else value
