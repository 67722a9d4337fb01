"""YAML text to a tree that knows the line and column of every key and value.

Only the events of the YAML parser are used, so limits hold before anything is built: size, depth, count of
values (aliases counted as what they expand to). Scalars follow the YAML 1.2 core schema; a number with a
point stays a `Decimal`. Tags, merge keys, duplicate keys and keys that are not text are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from interlock.manifest.problem import ManifestProblem, Place, invalid, shown

MAX_DEPTH = 40
MAX_VALUES = 100_000
MAX_DIGITS = 40

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it stands. `keys` holds the places of a mapping's keys."""

    value: Scalar | Mapping[str, Node] | Sequence[Node]
    place: Place
    size: int = 1
    keys: Mapping[str, Place] | None = None

    def plain(self) -> Any:
        """Return the value without places: dict, list, str, int, bool, `Decimal`, None."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, Sequence) and not isinstance(self.value, str):
            return [node.plain() for node in self.value]
        return self.value

    def place_of(self, path: Sequence[str | int], *, of_key: bool = False) -> Place:
        """Return the place of what `path` names, or of the deepest part of it that exists.

        With `of_key` the place of the last key itself, for a key that should not be there.
        """
        node, key_place = self, self.place
        for step in path:
            child = node.child(step)
            if child is None:
                return node.place
            key_place = node.keys[step] if node.keys and isinstance(step, str) else child.place
            node = child
        return key_place if of_key else node.place

    def child(self, step: str | int) -> Node | None:
        """Return the node under one key or index."""
        if isinstance(self.value, Mapping):
            return self.value.get(str(step))
        if isinstance(step, int) and isinstance(self.value, list) and 0 <= step < len(self.value):
            return self.value[step]
        return None


Scalar = str | int | bool | Decimal | None


class _Mark(Protocol):
    line: int
    column: int


class _Event(Protocol):
    start_mark: _Mark
    anchor: str | None
    tag: str | None
    implicit: Any
    value: str


class _Refused(Exception):
    """Parsing of one file stops here."""

    def __init__(self, problem: ManifestProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse(file: str, text: str) -> list[Node]:
    """Return the documents of one YAML file, empty ones left out.

    Raises `ManifestError` with the place when the text is not YAML or passes a limit.
    """
    try:
        return list(_Composer(file, text).documents())
    except _Refused as refused:
        raise invalid([refused.problem]) from None
    except ReaderError as error:
        place = _offset(file, text, int(cast("Any", error).position))
        raise invalid(
            [ManifestProblem(place=place, message="a character that YAML does not allow")]
        ) from None
    except MarkedYAMLError as error:
        raise invalid([_syntax(file, cast("Any", error))]) from None
    except YAMLError as error:
        raise invalid([ManifestProblem(place=Place(file=file), message=shown(error))]) from None


class _Composer:
    """Builds nodes from events; one per file."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._events = cast("Iterator[_Event]", cast("Any", YAML(typ="safe", pure=True)).parse(text))
        self._anchors: dict[str, Node] = {}
        self._values = 0

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if _kind(event) == "DocumentStartEvent":
                self._anchors.clear()
                node = self._node(self._next(), depth=1)
                if node.value is not None:
                    yield node

    def _next(self) -> _Event:
        return next(self._events)

    def _node(self, event: _Event, *, depth: int) -> Node:
        kind, place = _kind(event), self._place(event)
        if depth > MAX_DEPTH:
            raise self._refuse(place, f"nested deeper than {MAX_DEPTH} levels")
        if kind == "AliasEvent":
            return self._alias(event, place)
        if event.tag is not None:
            raise self._refuse(place, "YAML tags are not used in a manifest; remove the tag")
        if kind == "ScalarEvent":
            node = Node(self._scalar(event, place), place)
        elif kind == "SequenceStartEvent":
            node = self._sequence(place, depth)
        else:
            node = self._mapping(place, depth)
        self._count(1, place)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: _Event, place: Place) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise self._refuse(place, f"the alias {shown(event.anchor)} names no anchor before it")
        self._count(node.size, place)
        return node

    def _sequence(self, place: Place, depth: int) -> Node:
        items: list[Node] = []
        while _kind(event := self._next()) != "SequenceEndEvent":
            items.append(self._node(event, depth=depth + 1))
        return Node(items, place, 1 + sum(item.size for item in items))

    def _mapping(self, place: Place, depth: int) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while _kind(event := self._next()) != "MappingEndEvent":
            key = self._key(event)
            if key in items:
                first = f"first on line {keys[key].line}"
                raise self._refuse(self._place(event), f"the key {shown(key)} stands here twice ({first})")
            keys[key] = self._place(event)
            items[key] = self._node(self._next(), depth=depth + 1)
        return Node(items, place, 1 + sum(item.size for item in items.values()), keys)

    def _key(self, event: _Event) -> str:
        place = self._place(event)
        if _kind(event) != "ScalarEvent" or event.tag is not None:
            raise self._refuse(place, "a key must be plain text")
        if event.value == "<<" and event.implicit[0]:
            raise self._refuse(place, "merge keys (<<) are not supported; write the fields out")
        return event.value

    def _scalar(self, event: _Event, place: Place) -> Scalar:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if _NOT_FINITE.fullmatch(text):
            raise self._refuse(place, f"{shown(text)} is not a number a manifest may hold")
        if _REAL.fullmatch(text) and (len(text) > MAX_DIGITS or abs(Decimal(text).adjusted()) > MAX_DIGITS):
            raise self._refuse(place, f"a number of more than {MAX_DIGITS} digits")
        return _resolve(text)

    def _count(self, more: int, place: Place) -> None:
        self._values += more
        if self._values > MAX_VALUES:
            raise self._refuse(place, f"more than {MAX_VALUES} values (aliases count as what they expand to)")

    def _place(self, event: _Event) -> Place:
        return Place(file=self._file, line=event.start_mark.line + 1, column=event.start_mark.column + 1)

    def _refuse(self, place: Place, message: str) -> _Refused:
        return _Refused(ManifestProblem(place=place, message=message))


def _kind(event: object) -> str:
    return type(event).__name__


def _resolve(text: str) -> Scalar:
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _REAL.fullmatch(text) else text


def _syntax(file: str, error: Any) -> ManifestProblem:
    mark: Any = error.problem_mark or error.context_mark
    place = Place(file=file, line=mark.line + 1, column=mark.column + 1) if mark else Place(file=file)
    problem = str(error.problem or "not valid YAML").split("\n")[0]
    if "'\\t'" in problem:
        problem = "a tab; YAML is indented with blanks"
    context = str(error.context or "").split("\n")[0]
    return ManifestProblem(place=place, message=f"{context}: {problem}" if context else problem)


def _offset(file: str, text: str, position: int) -> Place:
    before = text[:position]
    return Place(file=file, line=before.count("\n") + 1, column=position - (before.rfind("\n") + 1) + 1)
