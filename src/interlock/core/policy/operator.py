"""What a rule can ask of a value. Each operator turns its operand into a test, once, at load.

A test answers yes or no, or raises `Unclear` when the value is not of the kind the operand is for: a float
where whole numbers are compared, text where a list was meant, a boolean for a number. Nobody guesses.
An operand that makes no sense raises `BadOperand`, which is a load error.
"""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Mapping
from typing import Any, cast

from interlock.core.canonical import canonical
from interlock.core.model import Json
from interlock.core.policy.glob import compile_glob

Test = Callable[[Any], bool]
Make = Callable[[Json], Test]

_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    float: "a number with a fraction",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


class Unclear(Exception):
    """The value is of another kind than the rule compares; `wanted` says which it is for."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class BadOperand(ValueError):
    """The operand makes no sense for its operator; the message says why."""


def kind_of(value: object) -> str:
    """Return what kind of JSON a value is, in words."""
    return _WORDS.get(type(value), "something else")


def equal(operand: object) -> Test:
    """Equal, of the same kind: 1 is not true, and not 1.0."""
    _refuse_floats(operand)
    kind = type(operand)
    if kind in (list, dict):
        return _equal_deep(operand)

    def test(value: object) -> bool:
        if type(value) is kind:
            return value == operand
        if operand is None:
            return False
        raise Unclear(_WORDS[kind])

    return test


def _equal_deep(operand: object) -> Test:
    wanted, kind = canonical(operand), type(operand)

    def test(value: object) -> bool:
        if type(value) is kind:
            return canonical(value) == wanted
        raise Unclear(_WORDS[kind])

    return test


def _not(make: Make) -> Make:
    def make_opposite(operand: Json) -> Test:
        holds = make(operand)
        return lambda value: not holds(value)

    return make_opposite


def _order(compare: Callable[[Any, Any], bool]) -> Make:
    def make(operand: object) -> Test:
        kind = type(operand)
        if kind is not int and kind is not str:
            raise BadOperand(f"compares whole numbers or text, not {kind_of(operand)}{_units(operand)}")

        def test(value: object) -> bool:
            if type(value) is kind:
                return compare(value, operand)
            raise Unclear(_WORDS[kind])

        return test

    return make


def is_in(operand: Json) -> Test:
    """One of a list of scalars."""
    members = _members(operand)
    kinds = frozenset(kind for kind, _ in members)
    wanted = " or ".join(sorted(_WORDS[kind] for kind in kinds))

    def test(value: object) -> bool:
        kind = type(value)
        if kind in kinds:
            return (kind, value) in members
        raise Unclear(wanted or "nothing, for the list is empty")

    return test


def _each(make: Make, fold: Callable[[list[bool]], bool]) -> Make:
    def make_each(operand: Json) -> Test:
        holds = make(operand)

        def test(value: object) -> bool:
            if type(value) is not list:
                raise Unclear("a list")
            return _none_skipped(holds, cast(list[Json], value), fold)

        return test

    return make_each


def _none_skipped(holds: Test, members: list[Json], fold: Callable[[list[bool]], bool]) -> bool:
    """Ask every member before folding, so that an unclear one is seen wherever it stands."""
    return fold([holds(each) for each in members])


def _affix(matches: Callable[[str, tuple[str, ...]], bool]) -> Make:
    def make(operand: Json) -> Test:
        affixes = tuple(_texts(operand))

        def test(value: object) -> bool:
            if type(value) is str:
                return matches(value, affixes)
            raise Unclear("text")

        return test

    return make


def _glob(operand: Json) -> Test:
    if type(operand) is not str:
        raise BadOperand(f"takes text, not {kind_of(operand)}")
    if "[" in operand:
        raise BadOperand("knows * and ? only; [ would silently match nothing")
    matches = compile_glob(operand)

    def test(value: object) -> bool:
        if type(value) is str:
            return matches(value)
        raise Unclear("text")

    return test


def _contains(operand: Json) -> Test:
    _scalar(operand)
    holds = equal(operand)

    def test(value: object) -> bool:
        if type(value) is str and type(operand) is str:
            return operand in value
        if type(value) is list:
            return _none_skipped(holds, cast(list[Json], value), any)
        raise Unclear("text or a list" if type(operand) is str else "a list")

    return test


def _length(operand: Json) -> Test:
    bounds = cast(dict[str, Json], operand) if type(operand) is dict else {EQUAL: operand}
    unknown = sorted(set(bounds) - set(_LENGTHS))
    if unknown or not bounds:
        raise BadOperand(f"takes a whole number or {', '.join(k for k in _LENGTHS if k != 'eq')}")
    if not all(type(bound) is int and bound >= 0 for bound in bounds.values()):
        raise BadOperand("compares with whole numbers of zero or more")
    tests = [_LENGTHS[name](bound) for name, bound in bounds.items()]

    def test(value: object) -> bool:
        if type(value) not in (str, list, dict):
            raise Unclear("text, a list or an object")
        size = len(cast(list[Any], value))
        return all(holds(size) for holds in tests)

    return test


def _members(operand: Json) -> frozenset[tuple[type, object]]:
    if type(operand) is not list:
        raise BadOperand(f"takes a list, not {kind_of(operand)}")
    members = cast(list[object], operand)
    for each in members:
        _scalar(each)
    return frozenset((type(each), each) for each in members)


def _texts(operand: Json) -> list[str]:
    texts = cast(list[Json], operand) if type(operand) is list else [operand]
    if not texts or not all(type(each) is str and each for each in texts):
        raise BadOperand("takes text, or a list of texts, none of them empty")
    return texts


def _scalar(operand: Json) -> None:
    _refuse_floats(operand)
    if type(operand) in (list, dict):
        raise BadOperand(f"takes text, whole numbers, true, false or null, not {kind_of(operand)}")


def _refuse_floats(operand: Json) -> None:
    if type(operand) is float:
        raise BadOperand(f"does not compare fractions{_units(operand)}")
    if type(operand) is list:
        for each in cast(list[Json], operand):
            _refuse_floats(each)
    elif type(operand) is dict:
        for each in cast(dict[str, Json], operand).values():
            _refuse_floats(each)


def _units(operand: Json) -> str:
    return "; count in whole units, such as cents" if type(operand) is float else ""


_lt, _le, _gt, _ge = _order(python.lt), _order(python.le), _order(python.gt), _order(python.ge)
_LENGTHS: Mapping[str, Make] = {"eq": equal, "ne": _not(equal), "lt": _lt, "le": _le, "gt": _gt, "ge": _ge}
_suffix = _affix(lambda value, affixes: value.endswith(affixes))

EQUAL = "eq"
PRESENT = "present"
OPERATORS: Mapping[str, Make] = {
    EQUAL: equal,
    "ne": _not(equal),
    "lt": _lt,
    "le": _le,
    "gt": _gt,
    "ge": _ge,
    "in": is_in,
    "not_in": _not(is_in),
    "prefix": _affix(lambda value, affixes: value.startswith(affixes)),
    "suffix": _suffix,
    "glob": _glob,
    "contains": _contains,
    "len": _length,
    "all_in": _each(is_in, all),
    "any_not_in": _each(_not(is_in), any),
    "all_suffix": _each(_suffix, all),
    "any_not_suffix": _each(_not(_suffix), any),
}
