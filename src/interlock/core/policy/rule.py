"""Rules: when the conditions hold, outside the hours that are excepted, the verdict is at least `then`.

A rule only tightens. One that cannot be told about a call counts as met and denies, with the reason said:
a rule that is silently skipped is a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import cast

from interlock.core.document.rule import Hours, Rule
from interlock.core.model import SECOND, Gate, Json, Reason, Verdict
from interlock.core.policy.condition import Clause, Setting, compile_conditions, judge, settle, uses_scope
from interlock.core.policy.field import ROOTS, Facts, example_facts, known_field
from interlock.core.policy.flaw import Flaws

Zone = Callable[[str], tzinfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHours:
    """Compiled `unless_hours`: the zone was resolved at load, so nothing is read while deciding."""

    zone: tzinfo
    days: frozenset[int]
    start: int
    end: int

    def cover(self, now: int) -> bool:
        """Whether `now` (microseconds since the epoch) lies on one of the days, start ≤ hour < end."""
        local = datetime.fromtimestamp(now // SECOND, self.zone)
        return self.start <= local.hour < self.end and local.isoweekday() in self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """One rule, compiled for one tool."""

    id: str
    then: Verdict
    clauses: tuple[Clause, ...]
    hours: LocalHours | None
    hit: Reason

    def judge(self, facts: Facts) -> Reason | None:
        """Return the rule's reason where it is met or cannot be told, None where it is surely not met."""
        outcome = judge(self.clauses, facts)
        if outcome is False or (self.hours is not None and self.hours.cover(facts.now)):
            return None
        if outcome is not True:
            return self._unclear(outcome, facts)
        return self.hit if self.then is not Verdict.DENY else self._denial(facts)

    def _denial(self, facts: Facts) -> Reason:
        return Reason(
            gate=Gate.RULES,
            code=self.hit.code,
            message=self.hit.message,
            verdict=Verdict.DENY,
            rule=self.id,
            near_misses=tuple(
                clause.near_miss(facts, expected=f"not {clause.expected}") for clause in self.clauses
            ),
        )

    def _unclear(self, clause: Clause, facts: Facts) -> Reason:
        why = "it is missing or of another kind."
        if facts.unmeasured and clause.field.startswith("reach."):
            why = facts.unmeasured
        return Reason(
            gate=Gate.RULES,
            code="rule_cannot_tell",
            message=f"The rule {self.id} cannot tell about {clause.field}: {why}",
            verdict=Verdict.DENY,
            rule=self.id,
            near_misses=(clause.near_miss(facts),),
        )


def compile_rule(rule: Rule, flaws: Flaws, setting: Setting, *, zone: Zone) -> CompiledRule | None:
    """Compile one rule for one tool; None when it can never be met by that tool's calls."""
    clauses = settle(compile_conditions(rule.when, flaws.at("when"), setting), setting.fixed)
    hours = _hours(rule.unless_hours, flaws.at("unless_hours"), zone)
    if clauses is None:
        return None
    return CompiledRule(id=rule.id, then=rule.then, clauses=clauses, hours=hours, hit=_hit(rule, clauses))


def check_rule(rule: Rule, flaws: Flaws, setting: Setting, *, tool: Mapping[str, Json], zone: Zone) -> None:
    """Note everything about a rule that would make it dead, loose or not understood.

    `tool` holds the fields of the tool it names (none for "*"), which its examples may leave out.
    """
    if rule.then is Verdict.ALLOW:
        flaws.at("then").add("a rule only tightens, so `allow` does nothing: grant the call in the scope")
    if rule.examples and rule.then is not Verdict.DENY:
        flaws.at("examples").add("examples belong to rules that deny")
    before = len(flaws.found)
    compiled = compile_rule(rule, flaws, setting, zone=zone)
    known = setting.scope is not None or not uses_scope(rule.when)
    if compiled is None or len(flaws.found) > before or not known:
        return
    for index, example in enumerate(rule.examples):
        _check_example(compiled, example, tool, flaws.at("examples", index))


def _check_example(
    rule: CompiledRule, example: Mapping[str, Json], tool: Mapping[str, Json], flaws: Flaws
) -> None:
    values = _spread(example, flaws)
    facts = example_facts(values, tool)
    missed = [clause for clause in rule.clauses if judge((clause,), facts) is not True]
    if missed:
        said = "; ".join(f"{each.field}: {each.expected}" for each in missed)
        flaws.add(f"the rule {rule.id} does not catch this example, it asks for {said}")


def _spread(example: Mapping[str, Json], flaws: Flaws) -> dict[str, dict[str, Json]]:
    """Return an example as one object per root, whether written dotted or nested."""
    values: dict[str, dict[str, Json]] = {}
    for name, value in example.items():
        if name in ROOTS and type(value) is dict:
            values.setdefault(name, {}).update(cast(dict[str, Json], value))
        elif known_field(name, flaws.at(name)):
            _put(values, name, value)
    return values


def _put(values: dict[str, dict[str, Json]], name: str, value: Json) -> None:
    root, _, rest = name.partition(".")
    steps = ["calls", rest.removeprefix("calls.")] if name.startswith("run.calls.") else rest.split(".")
    at = values.setdefault(root, {})
    for step in steps[:-1]:
        at = at.setdefault(step, {})
    at[steps[-1]] = value


def _hours(hours: Hours | None, flaws: Flaws, zone: Zone) -> LocalHours | None:
    if hours is None:
        return None
    if not 0 <= hours.start < hours.end <= 24:
        flaws.add("from and to are whole hours of one day, 0 to 24, from before to")
    if not hours.days or not set(hours.days) <= set(range(1, 8)):
        flaws.at("days").add("days are numbers from 1 (Monday) to 7 (Sunday), at least one")
    try:
        resolved = zone(hours.tz)
    except (KeyError, ValueError, OSError):  # KeyError: ZoneInfoNotFoundError
        flaws.at("tz").add(f"unknown time zone {hours.tz!r}: use an IANA name such as Europe/Berlin")
        return None
    return LocalHours(zone=resolved, days=frozenset(hours.days), start=hours.start, end=hours.end)


_ASKS = {
    Verdict.ALLOW: "asks for nothing",
    Verdict.ALLOW_WITH_REVIEW: "asks for a review afterwards",
    Verdict.REQUIRE_APPROVAL: "asks for a person's approval first",
    Verdict.DENY: "forbids this call",
}


def _hit(rule: Rule, clauses: tuple[Clause, ...]) -> Reason:
    because = "; ".join(f"{clause.field}: {clause.expected}" for clause in clauses)
    outside = " outside the excepted hours" if rule.unless_hours else ""
    return Reason(
        gate=Gate.RULES,
        code=f"rule_{rule.then.value}",
        message=f"The rule {rule.id} {_ASKS[rule.then]}{outside}{f' ({because})' if because else ''}.",
        verdict=rule.then,
        rule=rule.id,
    )
