"""Ordinary rule forms that rule engines silently ignore: each means what it says, or is a load error (A5).

Each case is put through the whole decision twice: as a grant's `where` and as a rule that denies. A value
that meets the condition is granted, and forbidden. One that does not is refused, and let pass. One that
cannot be told is refused by both.
"""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.bundle import BundleInvalid
from interlock.core.model import Decision, Gate
from support.policies import Grant, a_bundle, a_rule, a_workflow, decided

ABSENT = object()

YES, NO, UNCLEAR = "yes", "no", "cannot tell"
CASES = [
    # bare values: equal, and of the same kind
    ("EUR", "EUR", YES),
    ("EUR", "USD", NO),
    ("EUR", "eur", NO),
    ("", "", YES),
    ("", "x", NO),
    ("x", "", NO),
    (0, 0, YES),
    (0, False, UNCLEAR),
    (1, True, UNCLEAR),
    (1, 1.0, UNCLEAR),
    (1, "1", UNCLEAR),
    (-5, -5, YES),
    (-5, 5, NO),
    (True, True, YES),
    (True, False, NO),
    (True, 1, UNCLEAR),
    (False, 0, UNCLEAR),
    (False, "", UNCLEAR),
    (None, None, YES),
    (None, "", NO),
    (None, 0, NO),
    (None, ABSENT, UNCLEAR),
    ("EUR", None, UNCLEAR),
    ("EUR", ABSENT, UNCLEAR),
    (["a", "b"], ["a", "b"], YES),
    (["a", "b"], ["b", "a"], NO),
    (["a"], "a", UNCLEAR),
    ([], [], YES),
    ([1], [True], NO),
    ({"eq": {"a": 1}}, {"a": 1}, YES),
    ({"eq": {"a": 1}}, {"a": True}, NO),
    ({"eq": {"a": 1}}, [["a", 1]], UNCLEAR),
    # ne
    ({"ne": "EUR"}, "USD", YES),
    ({"ne": "EUR"}, "EUR", NO),
    ({"ne": "EUR"}, 5, UNCLEAR),
    ({"ne": "EUR"}, ABSENT, UNCLEAR),
    ({"ne": None}, "x", YES),
    ({"ne": None}, None, NO),
    ({"ne": ""}, "", NO),
    ({"ne": ""}, "x", YES),
    # order
    ({"le": 50000}, 50000, YES),
    ({"le": 50000}, 50001, NO),
    ({"lt": 50000}, 50000, NO),
    ({"lt": 0}, -1, YES),
    ({"ge": -3}, -3, YES),
    ({"ge": -3}, -4, NO),
    ({"gt": -3}, -3, NO),
    ({"gt": 5, "le": 7}, 7, YES),
    ({"gt": 5, "le": 7}, 5, NO),
    ({"le": 50000}, 30.5, UNCLEAR),
    ({"le": 50000}, 30.0, UNCLEAR),
    ({"le": 50000}, True, UNCLEAR),
    ({"le": 50000}, "30", UNCLEAR),
    ({"le": 50000}, None, UNCLEAR),
    ({"le": 50000}, ABSENT, UNCLEAR),
    ({"le": 50000}, [1], UNCLEAR),
    ({"le": 10**30}, 10**29, YES),
    ({"le": "2026-12-31"}, "2026-05-01", YES),
    ({"le": "2026-12-31"}, "2027-01-01", NO),
    # membership of one value
    ({"in": ["EUR", "USD"]}, "USD", YES),
    ({"in": ["EUR", "USD"]}, "GBP", NO),
    ({"in": [1, 2]}, True, UNCLEAR),
    ({"in": [1, 2]}, 2.0, UNCLEAR),
    ({"in": ["a", None]}, None, YES),
    ({"in": ["a"]}, ["a"], UNCLEAR),
    ({"in": ["a"]}, ABSENT, UNCLEAR),
    ({"not_in": ["EUR"]}, "GBP", YES),
    ({"not_in": ["EUR"]}, "EUR", NO),
    ({"not_in": ["EUR"]}, 5, UNCLEAR),
    ({"not_in": ["EUR"]}, None, UNCLEAR),
    ({"not_in": ["EUR"]}, ABSENT, UNCLEAR),
    ({"not_in": [-1, 0]}, -1, NO),
    ({"not_in": [""]}, "", NO),
    # text
    ({"prefix": "ch_"}, "ch_1", YES),
    ({"prefix": "ch_"}, "x_ch_1", NO),
    ({"prefix": ["ch_", "py_"]}, "py_1", YES),
    ({"suffix": "@example.com"}, "a@example.com", YES),
    ({"suffix": "@example.com"}, "a@example.com.evil", NO),
    ({"suffix": "@example.com"}, ["a@example.com"], UNCLEAR),
    ({"prefix": "ch_"}, 5, UNCLEAR),
    ({"glob": "repo/*/README.?d"}, "repo/a/b/README.md", YES),
    ({"glob": "repo/*"}, "other/repo/", NO),
    ({"glob": "*"}, "", YES),
    ({"glob": "*"}, 5, UNCLEAR),
    # contains
    ({"contains": "ab"}, "xaby", YES),
    ({"contains": "ab"}, "ba", NO),
    ({"contains": "ab"}, ["ab", "c"], YES),
    ({"contains": "ab"}, ["abc"], NO),
    ({"contains": "ab"}, [], NO),
    ({"contains": 1}, [1, 2], YES),
    ({"contains": 1}, [True], UNCLEAR),
    ({"contains": 1}, [1, "x"], UNCLEAR),
    ({"contains": 1}, "1", UNCLEAR),
    ({"contains": "ab"}, 5, UNCLEAR),
    # presence
    ({"present": True}, "x", YES),
    ({"present": True}, None, YES),
    ({"present": True}, ABSENT, NO),
    ({"present": False}, ABSENT, YES),
    ({"present": False}, "x", NO),
    ({"present": True, "gt": 5}, ABSENT, NO),
    ({"gt": 5, "present": True}, ABSENT, NO),
    ({"ne": None, "suffix": "x"}, None, NO),
    # length
    ({"len": 2}, ["a", "b"], YES),
    ({"len": {"le": 3}}, "abcd", NO),
    ({"len": {"ge": 1, "lt": 3}}, {"a": 1}, YES),
    ({"len": 0}, "", YES),
    ({"len": 0}, 0, UNCLEAR),
    ({"len": {"le": 3}}, ABSENT, UNCLEAR),
    # lists
    ({"all_in": ["a", "b"]}, ["a", "a"], YES),
    ({"all_in": ["a", "b"]}, ["a", "c"], NO),
    ({"all_in": ["a", "b"]}, [], YES),
    ({"all_in": ["a", "b"]}, "a", UNCLEAR),
    ({"all_in": ["a", "b"]}, ["c", 1], UNCLEAR),
    ({"any_not_in": ["a", "b"]}, ["a", "c"], YES),
    ({"any_not_in": ["a", "b"]}, ["a", "b"], NO),
    ({"any_not_in": ["a", "b"]}, [], NO),
    ({"any_not_in": ["a", "b"]}, [["a"]], UNCLEAR),
    ({"any_not_suffix": "@example.com"}, ["a@example.com", "b@evil.org"], YES),
    ({"any_not_suffix": "@example.com"}, ["a@example.com"], NO),
    ({"any_not_suffix": "@example.com"}, "b@evil.org", UNCLEAR),
    ({"any_not_suffix": ["@a.com", "@b.com"]}, ["x@b.com"], NO),
    ({"any_not_suffix": "@example.com"}, ["b@evil.org", None], UNCLEAR),
    ({"all_suffix": "@example.com"}, ["a@example.com"], YES),
    ({"all_suffix": "@example.com"}, ["a@example.com", "b@evil.org"], NO),
    # references
    ("$scope.account", "acc-1", YES),
    ("$scope.account", "acc-2", NO),
    ({"in": "$scope.ids"}, 7, YES),
    ({"in": "$scope.ids"}, 8, NO),
    ({"not_in": "$scope.ids"}, 8, YES),
    ({"le": "$scope.nested.limit"}, 10, YES),
    ({"le": "$scope.nested.limit"}, 11, NO),
    ({"in": "$scope.nothing"}, "x", UNCLEAR),
    ("$agent.owner", "maria", YES),
    ("$agent.owner", "deng", NO),
    ("$tool.env", "dev", YES),
    ("$tool.server", "web", NO),
    ({"ne": "$args.other"}, "same", NO),
    ({"ne": "$args.other"}, "different", YES),
    ({"le": "$args.other"}, 5, UNCLEAR),
    ({"le": "$args.list"}, 5, UNCLEAR),
    ("$args.missing", "x", UNCLEAR),
    ("$$scope.account", "$scope.account", YES),
    ({"in": ["$$1", "$$2"]}, "$2", YES),
]


def asked(condition: Any, value: Any, *, rule: bool) -> Decision:
    scope = {"account": "acc-1", "ids": [7, -9], "nested": {"limit": 10}, "nothing": []}
    conditions = {"args.value": condition}
    workflow = (
        a_workflow(rules=(a_rule(when=conditions),), scope=scope)
        if rule
        else a_workflow(Grant(tool="crm.lookup", where=conditions), scope=scope)
    )
    arguments = {"other": "same", "list": [1]} | ({} if value is ABSENT else {"value": value})
    return decided("crm.lookup", arguments, bundle=a_bundle(workflow))


@pytest.mark.parametrize(("condition", "value", "outcome"), CASES)
def test_a_grant_permits_only_what_clearly_meets_it(condition: Any, value: Any, outcome: str) -> None:
    decision = asked(condition, value, rule=False)
    assert decision.denied == (outcome != YES)
    if decision.denied:
        assert decision.reason.gate is Gate.CONSTRAINTS
        assert decision.reason.near_misses[0].field == "args.value"


@pytest.mark.parametrize(("condition", "value", "outcome"), CASES)
def test_a_rule_lets_pass_only_what_clearly_does_not_meet_it(
    condition: Any, value: Any, outcome: str
) -> None:
    decision = asked(condition, value, rule=True)
    assert decision.denied == (outcome != NO)
    if decision.denied:
        assert decision.reason.rule == "rule"
        assert decision.reason.code == {YES: "rule_deny", UNCLEAR: "rule_cannot_tell"}[outcome]


@pytest.mark.parametrize(
    ("conditions", "message", "near"),
    [
        ({"args.a": {"contians": "x"}}, "unknown operator 'contians'", "contains"),
        ({"args.a": {"not in": ["x"]}}, "unknown operator 'not in'", "not_in"),
        ({"args.a": {"==": 1}}, "unknown operator '=='", None),
        ({"args.a": {}}, "no operator", None),
        ({"arguments.a": 1}, "unknown field 'arguments.a'", "args"),
        ({"arg.a": 1}, "unknown field 'arg.a'", "args"),
        ({"args": 1}, "'args' is not a field", None),
        ({"args..a": 1}, "'args..a' is not a field", None),
        ({"tool.teir": "read_only"}, "unknown field 'tool.teir'", "tool.tier"),
        ({"run.labels": {"contains": "web"}}, "unknown field 'run.labels'", None),
        ({"agent.environment": "dev"}, "unknown field 'agent.environment'", None),
        ({"args.a": {"le": 30.5}}, "le compares whole numbers or text", None),
        ({"args.a": 30.5}, "eq does not compare fractions", None),
        ({"args.a": {"in": [1.5]}}, "in does not compare fractions", None),
        ({"args.a": {"eq": {"b": [1.5]}}}, "eq does not compare fractions", None),
        ({"args.a": {"le": True}}, "le compares whole numbers or text, not true or false", None),
        ({"args.a": {"le": None}}, "not null", None),
        ({"args.a": {"in": "EUR"}}, "in takes a list, not text", None),
        ({"args.a": {"not_in": [["a"]]}}, "not_in takes text, whole numbers", None),
        ({"args.a": {"prefix": ""}}, "prefix takes text", None),
        ({"args.a": {"suffix": []}}, "suffix takes text", None),
        ({"args.a": {"suffix": [5]}}, "suffix takes text", None),
        ({"args.a": {"glob": 5}}, "glob takes text", None),
        ({"args.a": {"glob": "[ab]*"}}, "glob knows * and ? only", None),
        ({"args.a": {"contains": ["a"]}}, "contains takes text, whole numbers", None),
        ({"args.a": {"present": "yes"}}, "present takes true or false", None),
        ({"args.a": {"len": "5"}}, "len compares with whole numbers", None),
        ({"args.a": {"len": -1}}, "len compares with whole numbers", None),
        ({"args.a": {"len": {"max": 5}}}, "len takes a whole number or", None),
        ({"args.a": {"len": {}}}, "len takes a whole number or", None),
        ({"args.a": {"in": "$scope.idz"}}, "$scope.idz is not declared", "ids"),
        ({"args.a": {"in": "$scope.ids.deeper"}}, "$scope.ids.deeper is not declared", None),
        ({"args.a": "$scop.ids"}, "unknown field 'scop.ids'", None),
        ({"args.a": {"in": ["$scope.ids"]}}, "stands inside a list", None),
        ({"reach.records": {"le": 5}}, "crm.lookup declares no preview", None),
    ],
)
def test_what_cannot_be_understood_is_a_load_error(
    conditions: dict[str, Any], message: str, near: str | None
) -> None:
    workflow = a_workflow(Grant(tool="crm.lookup", where=conditions), scope={"ids": [1]})
    with pytest.raises(BundleInvalid) as invalid:
        a_bundle(workflow)
    (problem,) = invalid.value.problems
    assert message in problem.message
    assert problem.near == near
    assert problem.document == ("Workflow", "refunds", "")
    assert problem.path[:5] == ("spec", "tools", 0, "where", next(iter(conditions)))
