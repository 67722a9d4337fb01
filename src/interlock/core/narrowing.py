"""Is one set of conditions provably at least as narrow as another? What cannot be proved is "no" (A3).

A grant's conditions narrow when every call that satisfies the new ones satisfied the old ones. A rule's
conditions tighten when every call that the old ones caught, or could not tell about, is still caught.
References (`$scope.ids`) are equal or not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from interlock.core.document.rule import Conditions
from interlock.core.model import Json
from interlock.core.policy.operator import OPERATORS, Unclear
from interlock.core.policy.phrase import said

Operators = Mapping[str, Json]
Compare = Callable[[Json, Json], bool]


def operators(asked: Json) -> Operators:
    """Return a condition as operator and operand; a bare value means equal."""
    return cast("Operators", asked) if isinstance(asked, dict) else {"eq": asked}


def words(asked: Json) -> str:
    """Return a condition in words: "up to 50000"."""
    return " and ".join(_said(name, operand) for name, operand in operators(asked).items())


def implies(narrow: Conditions, wide: Conditions) -> bool:
    """Return whether every call that satisfies `narrow` satisfies `wide`, for certain."""
    return all(name in narrow and field_implies(narrow[name], asked) for name, asked in wide.items())


def field_implies(narrow: Json, wide: Json) -> bool:
    """Return whether every value that satisfies `narrow` satisfies `wide`, for certain."""
    given, wanted = operators(narrow), operators(wide)
    values = _values(given)
    return all(
        _same_or_narrower(given, name, operand)
        or (values is not None and all(_satisfies(name, operand, value) for value in values))
        for name, operand in wanted.items()
    )


def literal(asked: Json) -> bool:
    """Return whether a condition names all its values itself."""
    return not any(_reference(operand) for operand in operators(asked).values())


def meet(old: Json, new: Json) -> Json:
    """Return one field's condition with each narrowing of `new` in it and nothing wider than `old`."""
    if field_implies(new, old):
        return new
    if field_implies(old, new):
        return old
    before, after = operators(old), operators(new)
    kept = {name: before[name] for name in before if not _same_or_narrower(after, name, before[name])}
    return {**after, **kept}


def still_caught(old: Conditions, new: Conditions) -> bool:
    """Return whether a rule with `new` catches, for certain, all that it caught or doubted with `old`."""
    return old.keys() == new.keys() and all(_field_still_caught(old[name], new[name]) for name in old)


def _field_still_caught(old: Json, new: Json) -> bool:
    before, after = operators(old), operators(new)
    return before.keys() == after.keys() and all(
        _same_or_narrower(before, name, operand) for name, operand in after.items()
    )


def _same_or_narrower(given: Operators, name: str, wide: Json) -> bool:
    if name not in given:
        return False
    narrow = given[name]
    if same(narrow, wide):
        return True
    if _reference(narrow) or _reference(wide) or name not in _NARROWER:
        return False
    return _NARROWER[name](narrow, wide)


def same(one: Json, other: Json) -> bool:
    """Return whether two values are equal and of the same kind: 1 is not true, and not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        left, right = cast("dict[str, Json]", one), cast("dict[str, Json]", other)
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(one, list):
        first, second = cast("list[Json]", one), cast("list[Json]", other)
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return one == other


def _values(given: Operators) -> list[Json] | None:
    """Return the values that `given` is limited to, where they can be listed."""
    if "eq" in given and not _reference(given["eq"]):
        return [given["eq"]]
    listed = given.get("in")
    return cast("list[Json]", listed) if isinstance(listed, list) else None


def _satisfies(name: str, operand: Json, value: Json) -> bool:
    if name not in OPERATORS or _reference(operand):
        return False
    try:
        return OPERATORS[name](operand)(value)
    except (Unclear, ValueError):
        return False


def _reference(operand: Json) -> bool:
    return isinstance(operand, str) and operand.startswith("$")


def _said(name: str, operand: Json) -> str:
    return f"{name} {operand}" if _reference(operand) else said(name, operand)


def _ordered(compare: Compare) -> Compare:
    def narrower(narrow: Json, wide: Json) -> bool:
        return type(narrow) is type(wide) and type(narrow) in (int, str) and compare(narrow, wide)

    return narrower


def _subset(narrow: Json, wide: Json) -> bool:
    few, many = _members(narrow), _members(wide)
    return _kinds(few) == _kinds(many) and few <= many


def _members(operand: Json) -> set[tuple[type, str]]:
    values = cast("list[Json]", operand) if isinstance(operand, list) else []
    return {(type(each), str(each)) for each in values}


def _kinds(members: set[tuple[type, str]]) -> set[type]:
    return {kind for kind, _ in members}


def _texts(operand: Json) -> list[str]:
    return [str(each) for each in (cast("list[Json]", operand) if isinstance(operand, list) else [operand])]


def _prefix(narrow: Json, wide: Json) -> bool:
    return all(each.startswith(tuple(_texts(wide))) for each in _texts(narrow))


def _suffix(narrow: Json, wide: Json) -> bool:
    return all(each.endswith(tuple(_texts(wide))) for each in _texts(narrow))


_NARROWER: Mapping[str, Compare] = {
    "lt": _ordered(lambda narrow, wide: narrow <= wide),
    "le": _ordered(lambda narrow, wide: narrow <= wide),
    "gt": _ordered(lambda narrow, wide: narrow >= wide),
    "ge": _ordered(lambda narrow, wide: narrow >= wide),
    "in": _subset,
    "all_in": _subset,
    "not_in": lambda narrow, wide: _subset(wide, narrow),
    "any_not_in": lambda narrow, wide: _subset(wide, narrow),
    "prefix": _prefix,
    "suffix": _suffix,
    "all_suffix": _suffix,
    "any_not_suffix": lambda narrow, wide: _suffix(wide, narrow),
    "len": field_implies,
}
