"""Conditions: one clear "no" settles the whole in any order; what cannot be told is told so (A5)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.policy.condition import (
    Clause,
    Setting,
    compile_conditions,
    judge,
    misses,
    settle,
    uses_scope,
)
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import Flaws

TOOL = {"name": "crm.lookup", "effect": "read"}


def compiled(conditions: dict[str, Any], setting: Setting | None = None) -> tuple[Clause, ...]:
    flaws = Flaws()
    clauses = compile_conditions(conditions, flaws, setting or Setting(scope={}))
    assert not flaws.found
    return clauses


def facts(**args: Any) -> Facts:
    return Facts(args=args, tool=TOOL)


@given(st.permutations([("args.a", 1), ("args.b", {"le": 5}), ("args.c", "x")]))
def test_the_order_of_conditions_does_not_matter(order: list[tuple[str, Any]]) -> None:
    clauses = compiled(dict(order))
    assert judge(clauses, facts(a=1, b=5, c="x")) is True
    assert judge(clauses, facts(a=2, b="not a number")) is False
    doubt = judge(clauses, facts(a=1, b=5.0, c="x"))
    assert isinstance(doubt, Clause)
    assert doubt.field == "args.b"


def test_no_conditions_always_hold() -> None:
    assert judge((), facts()) is True
    assert misses((), facts()) == ()


def test_every_miss_is_named_with_what_was_there() -> None:
    clauses = compiled({"args.cents": {"le": 50000}, "args.currency": "EUR", "args.to": {"in": ["a"]}})
    missed = misses(clauses, facts(cents=90000, currency="EUR"))
    assert [(each.field, each.expected, each.actual) for each in missed] == [
        ("args.cents", "up to 50000", "90000"),
        ("args.to", 'one of "a"', "missing"),
    ]
    (kind,) = misses(clauses, facts(cents=30.5, currency="EUR", to="a"))
    assert kind.actual == "30.5, which is a number with a fraction"


def test_a_near_miss_of_a_missing_reference_shows_the_value() -> None:
    (missed,) = misses(compiled({"args.a": "$args.b"}), facts(a="x"))
    assert missed.expected == "$args.b"
    assert missed.actual == '"x", which is text'


def test_settled_clauses_vanish_and_a_false_one_leaves_nothing() -> None:
    fixed = {"tool.effect": "read", "tool.name": "crm.lookup"}
    reads = compiled({"tool.effect": "read", "args.a": 1})
    assert [clause.field for clause in settle(reads, fixed) or ()] == ["args.a"]
    assert settle(compiled({"tool.effect": {"ne": "read"}, "args.a": 1}), fixed) is None


def test_what_the_tool_does_not_settle_stays_open() -> None:
    fixed = {"tool.effect": "read"}
    assert len(settle(compiled({"tool.effect": {"le": 5}}), fixed) or ()) == 1
    assert len(settle(compiled({"tool.effect": "$args.a"}), fixed) or ()) == 1


def test_a_reference_to_a_settled_field_becomes_a_value() -> None:
    setting = Setting(scope={}, fixed={"tool.env": "dev", "tool.name": "$odd"})
    (clause, odd) = compiled({"agent.env": {"ne": "$tool.env"}, "args.a": "$tool.name"}, setting)
    assert not clause.refers
    assert clause.expected == 'anything but "dev"'
    assert odd.holds(facts(a="$odd"))


def test_values_of_the_scope_are_literal_even_when_they_look_like_references() -> None:
    setting = Setting(scope={"ids": ["$args.b", 5], "whole": {"price": "$5"}})
    ids, whole = compiled({"args.a": {"in": "$scope.ids"}, "args.b": {"eq": "$scope.whole"}}, setting)
    assert ids.holds(facts(a="$args.b"))
    assert whole.holds(facts(b={"price": "$5"}))


def test_an_unknown_scope_is_taken_on_trust_and_never_holds() -> None:
    (clause,) = compiled({"args.a": {"in": "$scope.ids"}}, Setting(scope=None))
    assert judge((clause,), facts(a=1)) is clause
    assert uses_scope({"args.a": {"in": "$scope.ids"}})
    assert uses_scope({"args.a": "$scope.id"})
    assert not uses_scope({"args.a": "$tool.env", "args.b": {"le": 5}})


def test_the_empty_scope_is_named_as_empty() -> None:
    flaws = Flaws()
    compile_conditions({"args.a": "$scope.ids"}, flaws, Setting(scope={}))
    assert flaws.found[0].message.endswith("the workflow's scope has nothing")
