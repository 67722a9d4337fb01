"""Rules only tighten, count as met when they cannot be told, and are checked at load (A5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from interlock.core.document.rule import Hours, Rule
from interlock.core.model import Verdict
from interlock.core.policy.condition import Setting
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import Flaw, Flaws
from interlock.core.policy.rule import CompiledRule, check_rule, compile_rule
from support.policies import a_rule

OFFICE = Hours(tz="Europe/Berlin", days=(1, 2, 3, 4, 5), start=8, end=18)


def compiled(rule: Rule) -> CompiledRule:
    found = compile_rule(rule, Flaws(), Setting(scope={}), zone=ZoneInfo)
    assert found is not None
    return found


def flaws_of(rule: Rule, scope: dict[str, Any] | None = None, **tool: Any) -> list[Flaw]:
    flaws = Flaws()
    check_rule(rule, flaws, Setting(scope=scope), tool=tool, zone=ZoneInfo)
    return flaws.found


def at(*moment: int) -> Facts:
    return Facts(args={}, tool={}, now=int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000)


def test_a_rule_that_is_met_says_what_it_asks_for() -> None:
    rule = compiled(a_rule("big", then=Verdict.REQUIRE_APPROVAL, when={"args.n": {"gt": 5}}))
    reason = rule.judge(Facts(args={"n": 6}, tool={}))
    assert reason is not None
    assert reason.rule == "big"
    assert reason.verdict is Verdict.REQUIRE_APPROVAL
    assert reason.message == "The rule big asks for a person's approval first (args.n: more than 5)."
    assert rule.judge(Facts(args={"n": 5}, tool={})) is None


def test_a_denial_names_what_was_there() -> None:
    reason = compiled(a_rule(when={"args.n": {"gt": 5}})).judge(Facts(args={"n": 6}, tool={}))
    assert reason is not None
    assert reason.verdict is Verdict.DENY
    (missed,) = reason.near_misses
    assert (missed.expected, missed.actual) == ("not more than 5", "6")


def test_what_cannot_be_told_denies_whatever_the_rule_asks_for() -> None:
    rule = compiled(a_rule(then=Verdict.ALLOW_WITH_REVIEW, when={"args.n": {"gt": 5}}))
    reason = rule.judge(Facts(args={"n": 5.5}, tool={}))
    assert reason is not None
    assert (reason.verdict, reason.code) == (Verdict.DENY, "rule_cannot_tell")
    assert "5.5" not in reason.message


@pytest.mark.parametrize(
    ("moment", "applies"),
    [
        ((2026, 1, 5, 6, 59), True),  # Monday, 07:59 in Berlin
        ((2026, 1, 5, 7, 0), False),
        ((2026, 1, 5, 16, 59), False),
        ((2026, 1, 5, 17, 0), True),
        ((2026, 7, 6, 6, 0), False),  # summer time: 08:00
        ((2026, 1, 4, 10, 0), True),  # Sunday
    ],
)
def test_a_rule_rests_in_the_excepted_local_hours(moment: tuple[int, ...], applies: bool) -> None:
    rule = compiled(a_rule(unless_hours=OFFICE))
    reason = rule.judge(at(*moment))
    assert (reason is not None) == applies
    assert reason is None or reason.message == "The rule rule forbids this call outside the excepted hours."


def test_a_rule_that_a_tool_can_never_meet_is_dropped_for_it() -> None:
    setting = Setting(scope={}, fixed={"tool.effect": "read"})
    assert compile_rule(a_rule(when={"tool.effect": {"ne": "read"}}), Flaws(), setting, zone=ZoneInfo) is None


def test_a_rule_that_allows_is_a_load_error() -> None:
    (flaw,) = flaws_of(a_rule(then=Verdict.ALLOW))
    assert flaw.path == ("then",)
    assert "only tightens" in flaw.message


@pytest.mark.parametrize(
    ("hours", "path"),
    [
        (Hours(tz="Europe/Berln", days=(1,), start=8, end=18), ("unless_hours", "tz")),
        (Hours(tz="../etc/passwd", days=(1,), start=8, end=18), ("unless_hours", "tz")),
        (Hours(tz="UTC", days=(), start=8, end=18), ("unless_hours", "days")),
        (Hours(tz="UTC", days=(0,), start=8, end=18), ("unless_hours", "days")),
        (Hours(tz="UTC", days=(1,), start=18, end=8), ("unless_hours",)),
        (Hours(tz="UTC", days=(1,), start=8, end=25), ("unless_hours",)),
    ],
)
def test_hours_that_make_no_sense_are_a_load_error(hours: Hours, path: tuple[str, ...]) -> None:
    assert [flaw.path for flaw in flaws_of(a_rule(unless_hours=hours))] == [path]


@pytest.mark.parametrize(
    "example",
    [
        {"args.n": 6},
        {"args": {"n": 6}},
        {"args.n": 6, "run.calls.crm.update": 1, "args.deep.er": True},
        {"args": {"n": 6}, "tool.tier": "limited_write", "agent.name": "x"},
    ],
)
def test_an_example_may_be_dotted_or_nested(example: dict[str, Any]) -> None:
    assert not flaws_of(a_rule(when={"args.n": {"gt": 5}}, examples=(example,)))


def test_examples_start_from_a_run_without_calls() -> None:
    rule = a_rule(
        when={"run.calls.crm.update": {"ge": 1}}, examples=({"run.calls.crm.update": 1}, {"args.n": 1})
    )
    (flaw,) = flaws_of(rule)
    assert flaw.path == ("examples", 1)


@pytest.mark.parametrize("example", [{"args.n": 5}, {"args.n": 5.5}, {}])
def test_an_example_that_the_rule_does_not_catch_is_a_load_error(example: dict[str, Any]) -> None:
    (flaw,) = flaws_of(a_rule(when={"args.n": {"gt": 5}}, examples=(example,)))
    assert flaw.path == ("examples", 0)
    assert flaw.message == "the rule rule does not catch this example, it asks for args.n: more than 5"


def test_an_example_knows_the_named_tools_own_fields() -> None:
    rule = a_rule(tool="crm.update", when={"tool.effect": "once"}, examples=({},))
    assert not flaws_of(rule, effect="once")
    assert flaws_of(rule, effect="read")


def test_an_example_with_an_unknown_field_is_a_load_error() -> None:
    found = flaws_of(a_rule(examples=({"arg.n": 5},)))
    assert [flaw.path for flaw in found] == [("examples", 0, "arg.n")]


def test_examples_belong_to_rules_that_deny() -> None:
    (flaw,) = flaws_of(a_rule(then=Verdict.REQUIRE_APPROVAL, examples=({},)))
    assert flaw.path == ("examples",)


def test_examples_that_need_a_scope_wait_for_one() -> None:
    rule = a_rule(when={"args.n": {"not_in": "$scope.ids"}}, examples=({"args.n": 3},))
    assert not flaws_of(rule, None)
    assert not flaws_of(rule, {"ids": [1]})
    assert flaws_of(rule, {"ids": [3]})


def test_a_rule_with_flaws_is_not_tried_on_examples() -> None:
    found = flaws_of(a_rule(when={"args.n": {"gtt": 5}}, examples=({"args.n": 1},)))
    assert [flaw.path for flaw in found] == [("when", "args.n", "gtt")]
