"""Conditions: a field, an operator and an operand, compiled to one closure each.

All clauses of a `when` or `where` must hold. A clause that cannot be told (the field is missing, the value
is of another kind) is neither yes nor no: one clear "no" elsewhere still settles the whole, in any order;
otherwise the whole cannot be told, and its reader takes the stricter side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from interlock.core.model import Json, NearMiss
from interlock.core.policy.field import Facts, Getter, Missing, getter, known_field
from interlock.core.policy.flaw import Flaws, near
from interlock.core.policy.operator import EQUAL, OPERATORS, PRESENT, BadOperand, Make, Test, Unclear, kind_of
from interlock.core.policy.phrase import phrased, said, shown

Scope = Mapping[str, Json]
_SCOPE = "scope."
_NOTHING: Mapping[str, Json] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One compiled question. `holds` raises `Missing` or `Unclear` where it cannot be told.

    `refers` says that its operand is known only when the call is.
    """

    field: str
    expected: str
    holds: Callable[[Facts], bool]
    refers: bool = False

    def near_miss(self, facts: Facts, *, expected: str = "") -> NearMiss:
        """Say what was asked for and what was there instead."""
        return NearMiss(field=self.field, expected=expected or self.expected, actual=self._actual(facts))

    def _actual(self, facts: Facts) -> str:
        try:
            value = getter(self.field)(facts)
        except Missing:
            return "missing"
        try:
            self.holds(facts)
        except (Unclear, Missing):
            return f"{shown(value)}, which is {kind_of(value)}"
        return shown(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known while conditions are compiled.

    `scope` is the workflow's own (None: not known yet, references to it are taken on trust). `fixed` holds
    tool fields whose value is settled already, such as the effect of the tool that a rule is compiled for.
    `unmeasured` names the one tool that these conditions are for, if it has no preview to measure `reach`.
    """

    scope: Scope | None = None
    fixed: Mapping[str, Json] = field(default_factory=dict[str, Json])
    unmeasured: str = ""


def judge(clauses: tuple[Clause, ...], facts: Facts) -> bool | Clause:
    """Return whether all hold, or the first clause that cannot be told if none is clearly false."""
    doubt: Clause | None = None
    for clause in clauses:
        try:
            if not clause.holds(facts):
                return False
        except (Unclear, Missing):
            doubt = doubt or clause
    return True if doubt is None else doubt


def misses(clauses: tuple[Clause, ...], facts: Facts) -> tuple[NearMiss, ...]:
    """Return a near miss for each clause that does not clearly hold; empty means that all do."""
    missed: list[NearMiss] | None = None
    for clause in clauses:
        try:
            if clause.holds(facts):
                continue
        except (Unclear, Missing):
            pass
        missed = missed or []
        missed.append(clause.near_miss(facts))
    return () if missed is None else tuple(missed)


def compile_conditions(conditions: Mapping[str, Json], flaws: Flaws, setting: Setting) -> tuple[Clause, ...]:
    """Compile what is declared; note every flaw."""
    clauses: list[Clause] = []
    for name, asked in conditions.items():
        here = flaws.at(name)
        if not known_field(name, here):
            continue
        if setting.unmeasured and name.startswith("reach."):
            here.add(f"{setting.unmeasured} declares no preview, so {name} is never measured")
        for operator, operand, place in _operators(asked, here):
            clause = _clause(name, operator, operand, place, setting)
            if clause is not None:
                clauses.append(clause)
    return tuple(clauses)


def settle(clauses: tuple[Clause, ...], fixed: Mapping[str, Json]) -> tuple[Clause, ...] | None:
    """Return the clauses that `fixed` tool fields leave open: true ones vanish, a false one leaves None."""
    facts = Facts(args=_NOTHING, tool={name.removeprefix("tool."): value for name, value in fixed.items()})
    left: list[Clause] = []
    for clause in clauses:
        settled = judge((clause,), facts) if clause.field in fixed and not clause.refers else clause
        if settled is False:
            return None
        if settled is not True:
            left.append(clause)
    return tuple(left)


def uses_scope(conditions: Mapping[str, Json]) -> bool:
    """Whether any operand refers to the workflow's scope."""
    return any(
        type(operand) is str and operand.startswith("$" + _SCOPE)
        for asked in conditions.values()
        for operand in (cast(dict[str, Json], asked).values() if type(asked) is dict else (asked,))
    )


def _operators(asked: Json, flaws: Flaws) -> list[tuple[str, Json, Flaws]]:
    if type(asked) is not dict:
        return [(EQUAL, asked, flaws)]
    declared = cast(dict[str, Json], asked)
    if not declared:
        flaws.add("no operator: write a value, or {operator: operand}")
    return [(operator, operand, flaws.at(operator)) for operator, operand in declared.items()]


def _clause(name: str, operator: str, operand: Json, flaws: Flaws, setting: Setting) -> Clause | None:
    if operator == PRESENT:
        return _present(name, operand, flaws)
    make = OPERATORS.get(operator)
    if make is None:
        known = (*OPERATORS, PRESENT)
        flaws.add(f"unknown operator {operator!r}: there are {', '.join(known)}", near=near(operator, known))
        return None
    if type(operand) is str and operand.startswith("$") and not operand.startswith("$$"):
        return _reference(name, operator, operand[1:], flaws, setting)
    literal = _literal(operand, flaws)
    try:
        test = make(literal)
    except BadOperand as bad:
        flaws.add(f"{operator} {bad}")
        return None
    return Clause(field=name, expected=said(operator, literal), holds=_holds(name, test))


def _holds(name: str, test: Test) -> Callable[[Facts], bool]:
    root, _, rest = name.partition(".")
    if root != "args" or "." in rest:
        get = getter(name)
        return lambda facts: test(get(facts))

    def holds(facts: Facts) -> bool:  # an argument is what nearly all conditions read: one call less
        try:
            value = facts.args[rest]
        except KeyError:
            raise Missing from None
        return test(value)

    return holds


def _present(name: str, operand: Json, flaws: Flaws) -> Clause | None:
    if type(operand) is not bool:
        flaws.add(f"present takes true or false, not {kind_of(operand)}")
        return None
    get = getter(name)

    def holds(facts: Facts) -> bool:
        try:
            get(facts)
        except Missing:
            return not operand
        return operand

    return Clause(field=name, expected=said(PRESENT, operand), holds=holds)


def _reference(name: str, operator: str, target: str, flaws: Flaws, setting: Setting) -> Clause | None:
    if target.startswith(_SCOPE) and setting.scope is not None:
        found = _in_scope(target.removeprefix(_SCOPE), setting.scope, flaws)
        return None if found is None else _clause(name, operator, _escaped(found[0]), flaws, setting)
    if target in setting.fixed:
        return _clause(name, operator, _escaped(setting.fixed[target]), flaws, setting)
    if not target.startswith(_SCOPE) and not known_field(target, flaws):
        return None
    read = _unknown_scope if target.startswith(_SCOPE) else getter(target)
    return Clause(
        field=name,
        expected=phrased(operator, f"${target}"),
        holds=_compare(getter(name), OPERATORS[operator], read),
        refers=True,
    )


def _compare(get: Getter, make: Make, read: Getter) -> Callable[[Facts], bool]:
    """Compile an operator whose operand is known only when the call is: made anew for each call."""

    def holds(facts: Facts) -> bool:
        try:
            test = make(read(facts))
        except BadOperand as bad:
            raise Unclear(str(bad)) from None
        return test(get(facts))

    return holds


def _unknown_scope(_: Facts) -> Json:
    raise Missing


def _in_scope(target: str, scope: Scope, flaws: Flaws) -> tuple[Json] | None:
    value: Json = scope
    for step in target.split("."):
        if type(value) is not dict or step not in value:
            known = list(cast(dict[str, Json], scope))
            flaws.add(
                f"$scope.{target} is not declared: the workflow's scope has {', '.join(known) or 'nothing'}",
                near=near(target, known),
            )
            return None
        value = cast(dict[str, Json], value)[step]
    return (value,)


def _escaped(value: Json) -> Json:
    """Return a settled value as an operand: text that starts with $ is meant literally."""
    if type(value) is str:
        return "$" + value if value.startswith("$") else value
    if type(value) is list:
        return [_escaped(each) for each in cast(list[Json], value)]
    if type(value) is dict:
        return {key: _escaped(each) for key, each in cast(dict[str, Json], value).items()}
    return value


def _literal(operand: Json, flaws: Flaws) -> Json:
    """Return the operand with `$$` read as `$`. A reference inside a list or object is not understood."""
    if type(operand) is str and operand.startswith("$"):
        if not operand.startswith("$$"):
            flaws.add(f"{operand!r} stands inside a list or object: a reference must be the whole operand")
        return operand.removeprefix("$")
    if type(operand) is list:
        return [_literal(each, flaws) for each in cast(list[Json], operand)]
    if type(operand) is dict:
        return {key: _literal(each, flaws) for key, each in cast(dict[str, Json], operand).items()}
    return operand
