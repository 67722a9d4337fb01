"""Whether conditions are provably narrower: every proof must hold for every value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core import narrowing
from interlock.core.policy.operator import OPERATORS, Unclear

NARROWER: list[tuple[Any, Any]] = [
    ({"le": 5}, {"le": 9}),
    ({"lt": 5}, {"lt": 5}),
    ({"ge": 9}, {"ge": 5}),
    ({"gt": 9}, {"gt": 5}),
    (7, {"le": 9}),
    (7, {"in": [7, 8]}),
    ({"in": [1, 2]}, {"le": 2}),
    ({"in": []}, {"le": 2}),
    ({"in": [1]}, {"in": [1, 2]}),
    ({"not_in": [1, 2]}, {"not_in": [1]}),
    ({"prefix": "abc"}, {"prefix": ["x", "ab"]}),
    ({"suffix": "@mail.example.com"}, {"suffix": "example.com"}),
    ({"all_in": ["a"]}, {"all_in": ["a", "b"]}),
    ({"any_not_in": ["a", "b"]}, {"any_not_in": ["a"]}),
    ({"all_suffix": "@x.example.com"}, {"all_suffix": "example.com"}),
    ({"any_not_suffix": "com"}, {"any_not_suffix": "example.com"}),
    ({"len": {"le": 3}}, {"len": {"le": 4}}),
    ({"len": 3}, {"len": {"le": 4}}),
    ({"le": 5, "ge": 1}, {"le": 5}),
    ("$scope.ids", "$scope.ids"),
]
NOT_NARROWER: list[tuple[Any, Any]] = [
    ({"le": 9}, {"le": 5}),
    ({"le": 5}, {"le": "9"}),
    ({"le": 5}, {"ge": 1}),
    ({"in": ["a"]}, {"in": "$scope.ids"}),
    ({"in": "$scope.ids"}, {"in": ["a"]}),
    ({"in": [1]}, {"in": ["1"]}),
    ({"not_in": [1]}, {"not_in": [1, 2]}),
    ({"not_in": [1, "x"]}, {"not_in": [1]}),
    ({"glob": "a*"}, {"glob": "*"}),
    ({"ne": 1}, {"ne": 2}),
    (True, 1),
    (7, {"le": "x"}),
    (7, {"ne": "$scope.x"}),
    (7, {"nonsense": 1}),
    ("$scope.x", "x"),
    ({"len": {"le": 4}}, {"len": {"le": 3}}),
    ({"present": True}, {"present": False}),
]


@pytest.mark.parametrize(("narrow", "wide"), NARROWER)
def test_a_provable_narrowing_is_proved(narrow: Any, wide: Any) -> None:
    assert narrowing.field_implies(narrow, wide)


@pytest.mark.parametrize(("narrow", "wide"), NOT_NARROWER)
def test_what_cannot_be_proved_is_not_narrower(narrow: Any, wide: Any) -> None:
    assert not narrowing.field_implies(narrow, wide)


def test_a_condition_more_is_narrower_and_one_less_is_not() -> None:
    one, two = {"args.a": 1}, {"args.a": 1, "args.b": 2}
    assert narrowing.implies(two, one)
    assert not narrowing.implies(one, two)
    assert narrowing.implies(one, {})


def test_a_rule_catches_more_only_with_the_same_questions() -> None:
    caught = narrowing.still_caught
    assert caught({"args.a": {"ge": 5}}, {"args.a": {"ge": 3}})
    assert not caught({"args.a": {"ge": 3}}, {"args.a": {"ge": 5}})
    assert not caught({"args.a": {"ge": 3}}, {})  # a call without `a` was in doubt, so denied
    assert not caught({"args.a": {"ge": 3}}, {"args.a": {"gt": 2}})


def test_the_meet_of_two_conditions_is_never_wider_than_the_old_one() -> None:
    assert narrowing.meet({"le": 5}, {"le": 3}) == {"le": 3}
    assert narrowing.meet({"le": 5}, {"le": 9}) == {"le": 5}
    assert narrowing.meet({"le": 5}, {"le": 9, "ge": 1}) == {"le": 5, "ge": 1}
    assert narrowing.meet({"glob": "a*"}, {"prefix": "b"}) == {"glob": "a*", "prefix": "b"}


def test_equal_means_of_the_same_kind() -> None:
    assert narrowing.same({"a": [1, "x"]}, {"a": [1, "x"]})
    assert not narrowing.same({"a": [1]}, {"a": [True]})
    assert not narrowing.same({"a": 1}, {"b": 1})
    assert not narrowing.same([1], [1, 2])


def test_conditions_are_said_in_words() -> None:
    assert narrowing.words({"le": 5, "ge": 1}) == "up to 5 and at least 1"
    assert narrowing.words("$scope.ids") == "eq $scope.ids"
    assert narrowing.literal({"le": 5})
    assert not narrowing.literal({"in": "$scope.ids"})


_values = st.one_of(st.integers(-5, 5), st.booleans(), st.sampled_from(["", "a", "ab", "ba"]))
_small = st.integers(-5, 5)
_lists = st.lists(_values, max_size=3)
_conditions = st.one_of(
    _values,
    st.fixed_dictionaries({}, optional={"le": _small, "ge": _small, "ne": _values}).filter(bool),
    st.fixed_dictionaries({"in": _lists}),
    st.fixed_dictionaries({"not_in": _lists}),
    st.fixed_dictionaries({"prefix": st.sampled_from(["a", "ab", "b"])}),
    st.fixed_dictionaries({"suffix": st.sampled_from(["a", "ab", ["b", "a"]])}),
    st.fixed_dictionaries({"all_in": _lists}),
    st.fixed_dictionaries({"any_not_in": _lists}),
    st.fixed_dictionaries({"any_not_suffix": st.sampled_from(["a", "ab"])}),
    st.fixed_dictionaries({"len": st.fixed_dictionaries({"le": st.integers(0, 3)})}),
)


def _passes(condition: Any, value: Any) -> bool | None:
    """True, False, or None where it cannot be told."""
    results: list[bool | None] = []
    for name, operand in narrowing.operators(condition).items():
        try:
            results.append(OPERATORS[name](operand)(value))
        except Unclear:
            results.append(None)
    return False if False in results else (None if None in results else True)


@given(_conditions, _conditions, st.one_of(_values, _lists))
def test_a_proof_holds_for_every_value(narrow: Any, wide: Any, value: Any) -> None:
    if narrowing.field_implies(narrow, wide) and _passes(narrow, value):
        assert _passes(wide, value)


@given(_conditions, _conditions, st.one_of(_values, _lists))
def test_the_meet_holds_for_no_value_that_the_old_condition_refuses(old: Any, new: Any, value: Any) -> None:
    if _passes(narrowing.meet(old, new), value):
        assert _passes(old, value)


@given(_conditions, _conditions, st.one_of(_values, _lists))
def test_what_a_rule_caught_or_doubted_is_still_caught_or_doubted(old: Any, new: Any, value: Any) -> None:
    if narrowing.still_caught({"args.a": old}, {"args.a": new}) and _passes(old, value) is not False:
        assert _passes(new, value) is not False
