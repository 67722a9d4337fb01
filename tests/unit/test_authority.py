"""What widens, what narrows, and that what acts at once is never wider than what was (A3, invariant 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.authority import Comparison, Direction, compare
from interlock.core.bundle import BundleInvalid, compile_bundle
from interlock.core.document.identity import Agent, Organisation, Person, Rotation, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.named import Document
from interlock.core.document.provider import Provider
from interlock.core.document.rule import Hours, Policy, Rule
from interlock.core.document.runbook import Runbook
from interlock.core.document.spending import Budget, Models
from interlock.core.document.tool import BlastRadius, Companion, Credentials, Tool, ToolServer, Variant
from interlock.core.document.workflow import Approvals, BreakerLimits, Grant, Workflow
from interlock.core.model import AtEnd, EffectClass, OnHard, RiskTier, Source, Verdict, WireFamily
from interlock.core.trial import Trial, ask
from support.policies import NOW, a_reading_tool, a_rule, a_tool, a_workflow, documents

WIDENS, NARROWS, NEITHER = Direction.WIDENS, Direction.NARROWS, Direction.NEITHER
HIGH, LIMITED, READ = RiskTier.HIGH_BLAST_RADIUS, RiskTier.LIMITED_WRITE, RiskTier.READ_ONLY
OFFICE = Hours(tz="Europe/Berlin", days=(1, 2, 3, 4, 5), start=8, end=18)
MAP = BlastRadius(widest_scope="one record", impact="bad", reversible="yes")


def one(old: AnyDocument, new: AnyDocument, *beside: AnyDocument) -> tuple[Direction, AnyDocument]:
    """Return what the only difference between two documents does, and what of it may act at once."""
    found = compare([old, *beside], [new, *beside])
    [difference] = found.differences
    assert difference.words
    assert str(difference).startswith(f"{type(old).__name__} {old.name}: ")
    met = next(each for each in found.meet if type(each) is type(old) and each.name == old.name)
    return difference.direction, met


BUDGET = Budget(run=2, day=20)
LOOSE = Budget(run=3, day=20)
SMALL = Variant(name="small", when={"args.n": {"le": 5}}, tier=READ)

ROTA = Rotation(name="r", members=("a", "b"), tz="UTC", first=0)

FIELDS: list[tuple[AnyDocument, AnyDocument, Direction]] = [
    (Person(name="a", email="a@x"), Person(name="a", email="b@x"), WIDENS),
    (Person(name="a", email="a@x"), Person(name="a", email="a@x", roles=("viewer",)), WIDENS),
    (Person(name="a", email="a@x", roles=("admin",)), Person(name="a", email="a@x"), NARROWS),
    (
        Person(name="a", email="a@x", roles=("admin", "viewer")),
        Person(name="a", email="a@x", roles=("viewer", "admin")),
        NEITHER,
    ),
    (Person(name="a", email="a@x"), Person(name="a", email="a@x", channels={"chat": "a"}), NEITHER),
    (Team(name="t", members=("a",)), Team(name="t", members=("a", "b")), WIDENS),
    (Team(name="t", members=("a", "b")), Team(name="t", members=("a",)), NARROWS),
    (Team(name="t", members=("a",)), Team(name="t"), WIDENS),
    (Team(name="t"), Team(name="t", rota="r"), WIDENS),
    (Team(name="t", rota="r"), Team(name="t"), NARROWS),
    (ROTA, replace(ROTA, members=("a",)), NARROWS),
    (ROTA, replace(ROTA, members=("a", "b", "c")), WIDENS),
    (ROTA, replace(ROTA, every=86_400), NEITHER),
    (
        Team(name="t", members=("a", "b"), budget=BUDGET),
        Team(name="t", members=("a",), budget=BUDGET),
        WIDENS,
    ),
    (Agent(name="a", owner="m"), Agent(name="a", owner="m", budget=BUDGET), NARROWS),
    (Agent(name="a", owner="m", budget=BUDGET), Agent(name="a", owner="m", budget=LOOSE), WIDENS),
    (Team(name="t"), Team(name="t", budget=BUDGET), NARROWS),
    (Team(name="t", budget=BUDGET), Team(name="t"), WIDENS),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=LOOSE), WIDENS),
    (Team(name="t", budget=LOOSE), Team(name="t", budget=BUDGET), NARROWS),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=replace(BUDGET, month=9)), NARROWS),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=replace(BUDGET, kill=2_000)), WIDENS),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=replace(BUDGET, hour=1)), NARROWS),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=replace(BUDGET, on_hard=OnHard.SOFT)), NARROWS),
    (
        Team(name="t", budget=replace(BUDGET, on_hard=OnHard.NEVER)),
        Team(name="t", budget=replace(BUDGET, on_hard=OnHard.SOFT)),
        WIDENS,
    ),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=replace(BUDGET, shadow=True)), WIDENS),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=replace(BUDGET, strict=True)), NARROWS),
    (Team(name="t", budget=replace(BUDGET, strict=True)), Team(name="t", budget=BUDGET), WIDENS),
    (Team(name="t", budget=BUDGET), Team(name="t", budget=replace(BUDGET, route=("a",))), WIDENS),
    (
        ToolServer(name="s", transport="http", url="http://a"),
        ToolServer(name="s", transport="http", url="http://b"),
        WIDENS,
    ),
    (ToolServer(name="s", transport="x"), ToolServer(name="s", transport="x", stateless=True), WIDENS),
    (ToolServer(name="s", transport="x", stateless=True), ToolServer(name="s", transport="x"), NARROWS),
    (
        ToolServer(name="s", transport="x", source=Source.INTERNAL),
        ToolServer(name="s", transport="x", source=Source.WEB),
        NARROWS,
    ),
    (
        ToolServer(name="s", transport="x", source=Source.WEB),
        ToolServer(name="s", transport="x", source=Source.INTERNAL),
        WIDENS,
    ),
    (
        ToolServer(name="s", transport="x"),
        ToolServer(name="s", transport="x", credentials=Credentials(expires=5)),
        NARROWS,
    ),
    (
        ToolServer(name="s", transport="x", credentials=Credentials(expires=5)),
        ToolServer(name="s", transport="x", credentials=Credentials(expires=6)),
        WIDENS,
    ),
    (
        ToolServer(name="s", transport="x", credentials=Credentials(expires=5)),
        ToolServer(name="s", transport="x"),
        WIDENS,
    ),
    (
        ToolServer(name="s", transport="x"),
        ToolServer(name="s", transport="x", credentials=Credentials(owner="a")),
        WIDENS,
    ),
    (Tool(name="s.t", tier=READ), Tool(name="s.t", tier=LIMITED), NARROWS),
    (Tool(name="s.t", tier=HIGH), Tool(name="s.t", tier=LIMITED), WIDENS),
    (Tool(name="s.t", tier=HIGH), Tool(name="s.t"), NARROWS),
    (Tool(name="s.t"), Tool(name="s.t", tier=HIGH), WIDENS),
    (Tool(name="s.t"), Tool(name="s.t", effect=EffectClass.READ), WIDENS),
    (Tool(name="s.t"), Tool(name="s.t", blast_radius=MAP), WIDENS),
    (Tool(name="s.t", blast_radius=MAP), Tool(name="s.t"), NARROWS),
    (
        Tool(name="s.t", blast_radius=MAP),
        Tool(name="s.t", blast_radius=replace(MAP, impact="worse")),
        NEITHER,
    ),
    (Tool(name="s.t", blast_radius=MAP), Tool(name="s.t", blast_radius=replace(MAP, records=5)), WIDENS),
    (Tool(name="s.t"), Tool(name="s.t", undo=Companion(tool="s.u", arguments={})), WIDENS),
    (Tool(name="s.t", undo=Companion(tool="s.u", arguments={})), Tool(name="s.t"), NARROWS),
    (Tool(name="s.t"), Tool(name="s.t", preview=Companion(tool="s.u", arguments={})), WIDENS),
    (Tool(name="s.t"), Tool(name="s.t", sinks=("args.to",)), NARROWS),
    (Tool(name="s.t", sinks=("args.to",)), Tool(name="s.t"), WIDENS),
    (Tool(name="s.t", sinks=("args.to", "args.cc")), Tool(name="s.t", sinks=("args.cc", "args.to")), NEITHER),
    (Tool(name="s.t", cost_per_call=5), Tool(name="s.t", cost_per_call=9), NARROWS),
    (Tool(name="s.t", cost_per_call=5), Tool(name="s.t", cost_per_call=4), WIDENS),
    (Tool(name="s.t", delay=600), Tool(name="s.t", delay=900), WIDENS),
    (Tool(name="s.t", tier=HIGH), Tool(name="s.t", tier=HIGH, variants=(SMALL,)), WIDENS),
    (Tool(name="s.t", tier=HIGH, variants=(SMALL,)), Tool(name="s.t", tier=HIGH), NARROWS),
    (
        Tool(name="s.t", tier=HIGH, variants=(SMALL,)),
        Tool(name="s.t", tier=HIGH, variants=(replace(SMALL, when={"args.n": {"le": 4}}),)),
        NARROWS,
    ),
    (
        Tool(name="s.t", tier=HIGH, variants=(SMALL,)),
        Tool(name="s.t", tier=HIGH, variants=(replace(SMALL, when={"args.n": {"le": 6}}),)),
        WIDENS,
    ),
    (
        Tool(name="s.t", tier=HIGH, variants=(SMALL,)),
        Tool(name="s.t", tier=HIGH, variants=(replace(SMALL, tier=LIMITED),)),
        NARROWS,
    ),
    (
        Tool(name="s.t", tier=HIGH, variants=(replace(SMALL, tier=LIMITED),)),
        Tool(name="s.t", tier=HIGH, variants=(SMALL,)),
        WIDENS,
    ),
    (
        Tool(name="s.t", tier=HIGH, variants=(SMALL,)),
        Tool(name="s.t", tier=HIGH, variants=(replace(SMALL, name="tiny"),)),
        WIDENS,
    ),
    (Agent(name="a", owner="m"), Agent(name="a", owner="n"), WIDENS),
    (Agent(name="a", owner="m"), Agent(name="a", owner="m", backup="n"), WIDENS),
    (Agent(name="a", owner="m"), Agent(name="a", owner="m", purpose="more"), NEITHER),
    (Agent(name="a", owner="m"), Agent(name="a", owner="m", review_every=30 * 86_400), NARROWS),
    (Agent(name="a", owner="m"), Agent(name="a", owner="m", review_every=100), NARROWS),
    (Agent(name="a", owner="m"), Agent(name="a", owner="m", review_every=100 * 86_400), WIDENS),
]

FLOW = Workflow(
    name="w", agent="a", owner="m", tools=(Grant(tool="s.t", where={"args.n": {"le": 5}}, max_calls=5),)
)
GRANT = FLOW.tools[0]
RULE = Rule(
    id="r", tool="s.t", then=Verdict.REQUIRE_APPROVAL, when={"args.n": {"ge": 3}}, unless_hours=OFFICE
)


def flow(**changes: Any) -> Workflow:
    return replace(FLOW, **changes)


def rule(**changes: Any) -> Workflow:
    return replace(FLOW, rules=(replace(RULE, **changes),))


FLOWS: list[tuple[Workflow, Workflow, Direction]] = [
    (FLOW, flow(agent="b"), WIDENS),
    (FLOW, flow(owner="n"), WIDENS),
    (FLOW, flow(tools=(GRANT, Grant(tool="s.u"))), WIDENS),
    (FLOW, flow(tools=(GRANT, Grant(tool="s.u", where={"args.a": 1}, max_calls=2))), WIDENS),
    (flow(tools=(GRANT, Grant(tool="s.u"))), FLOW, NARROWS),
    (flow(tools=(GRANT, Grant(tool="s.u"))), flow(tools=(Grant(tool="s.u"), GRANT)), NEITHER),
    (flow(tools=(GRANT, GRANT)), FLOW, WIDENS),
    (FLOW, flow(tools=(replace(GRANT, max_calls=4),)), NARROWS),
    (FLOW, flow(tools=(replace(GRANT, max_calls=None),)), WIDENS),
    (FLOW, flow(tools=(replace(GRANT, where={"args.n": {"le": 4}}),)), NARROWS),
    (FLOW, flow(tools=(replace(GRANT, where={"args.n": {"le": 6}}),)), WIDENS),
    (FLOW, flow(tools=(replace(GRANT, where={}),)), WIDENS),
    (FLOW, flow(tools=(replace(GRANT, where={**GRANT.where, "args.m": 1}),)), NARROWS),
    (FLOW, flow(resources=("file://*",)), WIDENS),
    (flow(prompts=("p",)), FLOW, NARROWS),
    (FLOW, flow(sampling=True), WIDENS),
    (flow(elicitation=True, completion=False), FLOW, NARROWS),
    (FLOW, flow(elicitation="people"), WIDENS),
    (flow(elicitation="people"), flow(elicitation=True), WIDENS),
    (flow(elicitation=True), flow(elicitation="people"), NARROWS),
    (flow(elicitation="people"), FLOW, NARROWS),
    (FLOW, flow(scope={"ids": ["a"]}), NEITHER),
    (flow(scope={"ids": ["a"]}), FLOW, WIDENS),
    (flow(scope={"ids": ["a"]}), flow(scope={"ids": ["b"]}), WIDENS),
    (FLOW, flow(models=Models(pin={"main": "m"})), WIDENS),
    (FLOW, flow(breaker=BreakerLimits(tool_failures=2)), NARROWS),
    (FLOW, flow(breaker=BreakerLimits(identical_calls=9)), WIDENS),
    (FLOW, flow(breaker=BreakerLimits(quality_floor=9_000)), NARROWS),
    (FLOW, flow(approvals=Approvals(approvers=("a",))), WIDENS),
    (flow(approvals=Approvals(approvers=("a", "b"))), flow(approvals=Approvals(approvers=("a",))), NARROWS),
    (flow(approvals=Approvals(approvers=("a",))), FLOW, WIDENS),
    (flow(approvals=Approvals(fallback=("a",))), FLOW, NARROWS),
    (FLOW, flow(approvals=Approvals(expire_after=60)), NARROWS),
    (FLOW, flow(approvals=Approvals(expire_after=86_400)), WIDENS),
    (FLOW, flow(approvals=Approvals(sla=60)), NEITHER),
    (FLOW, flow(approvals=Approvals(reminder=9_000)), NEITHER),
    (FLOW, flow(approvals=Approvals(at_end=AtEnd.PARK)), WIDENS),
    (flow(approvals=Approvals(at_end=AtEnd.PARK)), FLOW, NARROWS),
    (FLOW, flow(approvals=Approvals(four_eyes=(HIGH,))), NARROWS),
    (flow(approvals=Approvals(four_eyes=(HIGH,))), FLOW, WIDENS),
    (FLOW, flow(runbook="r"), NEITHER),
    (FLOW, rule(), NARROWS),
    (rule(), FLOW, WIDENS),
    (rule(), rule(id="other", then=Verdict.DENY), WIDENS),
    (rule(), rule(then=Verdict.DENY), NARROWS),
    (rule(), rule(then=Verdict.ALLOW_WITH_REVIEW), WIDENS),
    (rule(), rule(tool="*"), NARROWS),
    (rule(), rule(tool="s.u"), WIDENS),
    (rule(), rule(when={"args.n": {"ge": 2}}), NARROWS),
    (rule(), rule(when={"args.n": {"ge": 4}}), WIDENS),
    (rule(), rule(unless_hours=None), NARROWS),
    (rule(unless_hours=None), rule(), WIDENS),
    (rule(), rule(unless_hours=replace(OFFICE, days=(1, 2))), NARROWS),
    (rule(), rule(unless_hours=replace(OFFICE, tz="UTC")), WIDENS),
    (rule(), rule(examples=({"args": {"n": 3}},)), NEITHER),
]


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [*FIELDS, *(each for each in FLOWS if each[1] != rule(id="other", then=Verdict.DENY))],
)
def test_each_change_has_its_direction(old: AnyDocument, new: AnyDocument, direction: Direction) -> None:
    found, met = one(old, new)
    assert found is direction
    if direction is not WIDENS:
        assert replace(met, **_unordered(new)) == replace(new, **_unordered(new))
    else:
        assert _as_written(met) == _as_written(old)


def _unordered(document: AnyDocument) -> dict[str, Any]:
    """The one field of `FLOW` whose order a merge does not keep."""
    return {"tools": ()} if isinstance(document, Workflow) else {}


def _as_written(document: AnyDocument) -> AnyDocument:
    return replace(document, **_unordered(document))


def test_a_rule_under_another_name_is_one_gone_and_one_more_and_both_act_at_once() -> None:
    found = compare([rule()], [rule(id="other", then=Verdict.DENY)])
    assert [each.direction for each in found.differences] == [WIDENS, NARROWS]
    [met] = found.meet
    assert isinstance(met, Workflow)
    assert {each.id for each in met.rules} == {"r", "other"}


def test_an_approver_who_takes_the_place_of_the_only_one_waits() -> None:
    old, new = flow(approvals=Approvals(approvers=("a",))), flow(approvals=Approvals(approvers=("b",)))
    found = compare([old], [new])
    assert {each.direction for each in found.differences} == {WIDENS}
    assert found.meet == (old,)


ADDED: list[tuple[AnyDocument, Direction]] = [
    (Person(name="a", email="a@x"), NEITHER),
    (Person(name="a", email="a@x", roles=("viewer",)), WIDENS),
    (Team(name="t"), NEITHER),
    (Team(name="t", members=("a",)), WIDENS),
    (ROTA, WIDENS),
    (ToolServer(name="s", transport="x"), WIDENS),
    (Tool(name="s.t"), NEITHER),
    (Agent(name="a", owner="m"), NEITHER),
    (FLOW, WIDENS),
    (flow(tools=()), WIDENS),
    (Policy(name="p", rules=(RULE,)), NARROWS),
    (Policy(name="p"), NEITHER),
    (Organisation(name="o"), NEITHER),
    (Organisation(name="o", budget=BUDGET), NARROWS),
    (Provider(name="p", base_url="https://p", wire_formats=(WireFamily.OPENAI,)), WIDENS),
    (Runbook(name="r"), NEITHER),
]


@pytest.mark.parametrize(("document", "direction"), ADDED)
def test_what_is_added_has_its_direction(document: AnyDocument, direction: Direction) -> None:
    found = compare([], [document])
    assert [each.direction for each in found.differences] == [direction]
    assert found.meet == (() if direction is WIDENS else (document,))


def test_a_map_entry_for_a_tool_that_was_granted_unmapped_widens() -> None:
    assert compare([FLOW], [FLOW, Tool(name="s.t")]).widens


def test_what_is_removed_narrows_unless_it_held_rules() -> None:
    rules = Policy(name="p", rules=(RULE, replace(RULE, id="q")))
    found = compare([FLOW, rules, Policy(name="empty")], [])
    directions = {each.document[1]: each.direction for each in found.differences}
    assert directions == {"w": NARROWS, "p": WIDENS, "empty": NEITHER}
    assert found.meet == (rules,)


def test_a_rota_that_a_team_may_name_stays_until_its_removal_is_agreed_to() -> None:
    found = compare([ROTA], [])
    assert ([each.direction for each in found.differences], found.meet) == ([WIDENS], (ROTA,))


def test_a_workflow_is_added_in_words_with_its_tools_and_models() -> None:
    [added] = compare([], [flow(models=Models(pin={"main": "m"}, allow=("n", "m")))]).differences
    assert added.words == "workflow added with s.t, and the models m, n"


def test_a_budget_is_not_removed_with_what_it_stands_in() -> None:
    held = (Team(name="t", budget=BUDGET), Organisation(name="o", budget=BUDGET))
    found = compare([*held, Team(name="u"), Runbook(name="r")], [])
    directions = {each.document[1]: each.direction for each in found.differences}
    assert directions == {"t": WIDENS, "o": WIDENS, "u": NARROWS, "r": NEITHER}
    assert found.meet == held


def test_a_higher_tier_may_escape_a_rule_and_is_then_no_narrowing() -> None:
    old, new = Tool(name="s.t", tier=READ), Tool(name="s.t", tier=LIMITED)

    def direction(when: Any, tool: str = "*") -> Direction:
        policy = Policy(
            name="p", rules=(Rule(id="r", tool=tool, then=Verdict.DENY, when={"tool.tier": when}),)
        )
        return one(old, new, policy)[0]

    assert direction("read_only") is WIDENS
    assert direction({"ne": "read_only"}) is NARROWS
    assert direction("high_blast_radius") is NARROWS
    assert direction("$scope.tier") is WIDENS
    assert direction("read_only", tool="s.other") is NARROWS


def test_a_tier_that_a_grant_reads_is_never_provably_narrower() -> None:
    reader = flow(tools=(Grant(tool="s.t", where={"tool.tier": "limited_write"}),))
    assert one(Tool(name="s.t", tier=READ), Tool(name="s.t", tier=LIMITED), reader)[0] is WIDENS
    assert (
        one(Tool(name="s.t", tier=READ), Tool(name="s.t"), rule(when={"tool.tier": "read_only"}))[0] is WIDENS
    )


def test_variants_that_fall_back_to_a_tier_which_escapes_a_rule_stay() -> None:
    guard = Policy(
        name="p", rules=(Rule(id="r", tool="*", then=Verdict.DENY, when={"tool.tier": "read_only"}),)
    )
    old = Tool(name="s.t", tier=HIGH, variants=(SMALL,))
    assert one(old, replace(old, variants=()), guard)[0] is WIDENS
    fewer = replace(old, variants=(replace(SMALL, when={"args.n": {"le": 1}}),))
    assert one(old, fewer, guard)[0] is WIDENS


@pytest.mark.parametrize("field", ["tool.mapped", "tool.reversible", "tool.source"])
def test_what_a_condition_reads_is_never_provably_narrower(field: str) -> None:
    reader = flow(rules=(replace(RULE, when={field: "x"}),))
    if field == "tool.source":
        old: AnyDocument = ToolServer(name="s", transport="x", source=Source.INTERNAL)
        new: AnyDocument = replace(old, source=Source.WEB)
    else:
        old, new = Tool(name="s.t", blast_radius=MAP), Tool(name="s.t")
    assert one(old, new, reader)[0] is WIDENS


def test_comparing_with_itself_finds_nothing() -> None:
    everything = [*documents(), FLOW, Policy(name="p", rules=(RULE,))]
    found = compare(everything, everything)
    assert found.differences == ()
    assert not found.widens
    assert not found.narrows


def test_kept_documents_keep_what_they_refer_to() -> None:
    agent, other = Agent(name="a", owner="m"), Agent(name="b", owner="m")
    found = compare([FLOW, agent], [flow(agent="b"), other], additions=False, removals=False)
    assert set(_names(found)) == {"w", "a"}
    assert "b" in _names(compare([FLOW, agent], [flow(agent="b"), other]))
    policy = Policy(name="p", rules=(RULE,))
    assert "p" in _names(compare([], [policy], additions=False))
    assert _names(compare([FLOW], [], removals=False)) == []


def _names(found: Comparison) -> list[str]:
    return [each.name for each in found.meet]


# The proof: whatever is changed, no call gets a milder verdict from the meet than it got before.

_where = st.sampled_from(
    [
        {},
        {"args.n": {"le": 5}},
        {"args.n": {"le": 9}},
        {"args.n": {"ge": 2, "le": 7}},
        {"args.n": {"in": [1, 2, 6]}},
        {"args.s": {"prefix": "a"}},
        {"args.n": 6},
    ]
)
_grants = st.lists(
    st.builds(
        Grant,
        tool=st.sampled_from(["crm.lookup", "crm.update"]),
        where=_where,
        max_calls=st.sampled_from([None, 1, 2]),
    ),
    max_size=2,
    unique_by=lambda grant: grant.tool,
).map(tuple)


def _rules_named(*names: str) -> Any:
    return st.lists(
        st.builds(
            a_rule,
            id=st.sampled_from(names),
            tool=st.sampled_from(["*", "crm.update"]),
            then=st.sampled_from([Verdict.ALLOW_WITH_REVIEW, Verdict.REQUIRE_APPROVAL, Verdict.DENY]),
            when=st.one_of(
                _where,
                st.sampled_from(
                    [
                        {"tool.tier": "limited_write"},
                        {"tool.tier": {"ne": "read_only"}},
                        {"tool.mapped": True},
                    ]
                ),
            ),
            unless_hours=st.sampled_from([None, OFFICE]),
        ),
        max_size=2,
        unique_by=lambda each: each.id,
    ).map(tuple)


_variants = st.sampled_from(
    [
        (),
        (SMALL,),
        (replace(SMALL, when={"args.n": {"le": 2}}),),
        (SMALL, replace(SMALL, name="b", when={"args.n": {"le": 9}})),
    ]
)
_tools = st.builds(
    a_tool,
    tier=st.sampled_from([LIMITED, HIGH]),
    delay=st.sampled_from([0, 600]),
    undo=st.sampled_from([None, Companion(tool="crm.lookup", arguments={})]),
    blast_radius=st.sampled_from([MAP, None]),
    variants=_variants,
)
_sets = st.builds(
    lambda grants, rules, tool, more: documents(
        a_workflow(Grant(tool="crm.lookup"), rules=rules, **{"tools": grants}),
        Policy(name="p", rules=more),
        tools=(a_reading_tool(), tool),
    ),
    _grants,
    _rules_named("one", "two"),
    _tools,
    _rules_named("org-one", "org-two"),
)
_calls = st.builds(
    Trial,
    workflow=st.just("refunds"),
    tool=st.sampled_from(["crm.lookup", "crm.update"]),
    arguments=st.sampled_from(
        [{}, {"n": 1}, {"n": 6}, {"n": 8}, {"n": "x"}, {"n": 6, "s": "ab"}, {"s": "b"}]
    ),
    calls=st.sampled_from([{}, {"crm.update": 1}]),
    now=st.sampled_from([NOW, NOW + 12 * 3600 * 1_000_000]),
)


@settings(max_examples=80, deadline=None)
@given(_sets, _sets, st.lists(_calls, min_size=4, max_size=8))
def test_no_call_gets_a_milder_verdict_at_once(
    old: list[AnyDocument], new: list[AnyDocument], calls: list[Trial]
) -> None:
    found = compare(old, new)
    bundles = [compile_bundle(each, environment="production") for each in (old, found.meet, new)]
    for call in calls:
        before, at_once, after = (ask(each, call).verdict for each in bundles)
        assert at_once.rank >= before.rank
        if not found.widens:
            assert after.rank >= before.rank
            assert at_once is after


@settings(max_examples=50, deadline=None)
@given(_sets, _sets)
def test_what_acted_at_once_leaves_only_widenings(old: list[AnyDocument], new: list[AnyDocument]) -> None:
    left = compare(compare(old, new).meet, new)
    assert not left.narrows


def test_the_builders_of_this_page_make_bundles() -> None:
    with pytest.raises(BundleInvalid):
        compile_bundle([FLOW], environment="production")
    assert issubclass(Workflow, Document)
