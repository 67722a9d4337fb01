"""The reported call is concrete: put through the decision itself, it passes (A4)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.admission import Snapshot, any_arguments, decide
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.canonical import digest
from interlock.core.document.tool import BlastRadius, Companion, FollowUp, Settlement, ToolServer, Variant
from interlock.core.document.workflow import Autonomy, Grant
from interlock.core.model import HOUR, Pin, Principal, Request, RiskTier, Verdict
from interlock.core.snapshot import RunFacts
from interlock.core.worst import BlastRadiusReport, WorstCall, report
from support.policies import NOW, a_reading_tool, a_rule, a_tool, a_workflow, documents

HIGH, LIMITED = RiskTier.HIGH_BLAST_RADIUS, RiskTier.LIMITED_WRITE


def money(**changes: Any) -> BlastRadius:
    values = {"widest_scope": "one payment", "impact": "money leaves", "reversible": "none"}
    return BlastRadius(**values | {"money": "$args.amount"} | changes)


def bundle(*grants: Grant, tool: Any = None, **changes: Any) -> Bundle:
    tools = (a_reading_tool(), tool or a_tool(tier=HIGH, blast_radius=money()))
    return compile_bundle(documents(a_workflow(*grants, **changes), tools=tools), environment="production")


def reported(found: Bundle, **over: Any) -> BlastRadiusReport:
    return report(found, found.workflows["refunds"], NOW, **over)


def worst(*grants: Grant, **changes: Any) -> WorstCall:
    return reported(bundle(*grants, **changes)).calls[0]


def decided(found: Bundle, call: WorstCall) -> Verdict:
    """Put a reported call through the real decision, with a snapshot of our own making."""
    flow = found.workflows["refunds"]
    principal = Principal(
        agent=flow.document.agent,
        owner="maria",
        workflow="refunds",
        workflow_version=flow.version,
        run="run_1",
        environment=found.environment,
        token_id="t",
        key_id="k",
        epoch=1,
        expires_at=NOW + HOUR,
    )
    snapshot = Snapshot(
        environment=found.environment,
        bundle=found,
        run=RunFacts(run="run_1", workflow="refunds", version=flow.version),
        pin=Pin(tool=call.tool, digest="p"),
        schema_problem=any_arguments,
    )
    request = Request(
        tool=call.tool, arguments=call.arguments, digest=digest(dict(call.arguments)), principal=principal
    )
    return decide(request, snapshot, NOW).verdict


def test_the_worst_call_reaches_the_limit_and_passes_the_decision() -> None:
    where = {"args.amount": {"le": 50000}, "args.currency": "EUR"}
    found = bundle(Grant(tool="crm.update", where=where, max_calls=5))
    [call] = reported(found).calls
    assert call.arguments == {"amount": 50000, "currency": "EUR"}
    assert call.reach == {"money": 50000}
    assert call.valid
    assert decided(found, call) is call.verdict is Verdict.REQUIRE_APPROVAL
    assert (call.max_calls, call.unbounded) == (5, ())


def test_a_measure_that_nothing_limits_is_said_to_be_unlimited() -> None:
    call = worst(Grant(tool="crm.update"), tool=a_tool(tier=HIGH, blast_radius=money(), sinks=("args.to",)))
    assert call.unbounded == ("args.amount", "args.to")
    assert call.reach == {"money": 1_000_000_000}


def test_a_call_outside_the_smaller_variant_is_worse() -> None:
    small = Variant(name="small", when={"args.kind": "small-and-long"}, tier=LIMITED)
    tool = a_tool(tier=HIGH, variants=(small,))
    call = worst(Grant(tool="crm.update", where={"args.kind": {"in": ["small-and-long", "big"]}}), tool=tool)
    assert call.arguments == {"kind": "big"}
    assert call.tier is HIGH


def test_a_call_that_a_rule_denies_is_not_the_worst_valid_one() -> None:
    rule = a_rule("cap", tool="crm.update", when={"args.amount": {"gt": 100}})
    where = {"args.amount": {"in": [50, 100, 5000]}}
    call = worst(Grant(tool="crm.update", where=where), rules=(rule,))
    assert call.arguments == {"amount": 100}
    assert call.rules == ("cap",)


def test_where_everything_is_denied_it_says_so_and_stands_last() -> None:
    rule = a_rule("never", tool="crm.update")
    calls = reported(bundle(Grant(tool="crm.update"), Grant(tool="crm.lookup"), rules=(rule,))).calls
    assert [call.valid for call in calls] == [True, False]
    assert calls[1].tier is HIGH


def test_a_tool_that_is_not_mapped_has_unknown_reach() -> None:
    server = ToolServer(name="new", transport="stdio", command=("new",))
    declared = [*documents(a_workflow(Grant(tool="new.tool"))), server]
    [call] = reported(compile_bundle(declared, environment="dev")).calls
    assert not call.mapped
    assert call.reversible == "unknown"
    assert call.widest_scope.startswith("unknown")
    assert call.tier is HIGH


def test_ways_back_are_listed() -> None:
    undo = Companion(tool="crm.lookup", arguments={})
    found = bundle(Grant(tool="crm.update"), tool=a_tool(undo=undo, delay=600))
    [call] = reported(found, exercised=["crm.update"]).calls
    assert call.reversible == "yes; undo with crm.lookup; cancellable for 10 minutes"
    [call] = reported(found).calls
    assert "undo with crm.lookup, declared, not yet exercised" in call.reversible


def test_what_makes_a_call_final_is_listed_with_its_time() -> None:
    step = Companion(tool="crm.lookup", arguments={})
    for seconds, words in ((600, "10 minutes"), (7200, "2 hours"), (86_400, "1 days"), (601, "601 seconds")):
        settled = a_tool(settlement=Settlement(confirm=step, void=step, within=seconds), delay=0)
        [call] = reported(bundle(Grant(tool="crm.update"), tool=settled), exercised=["crm.update"]).calls
        said = f"voided by crm.lookup unless a person confirms crm.lookup within {words}"
        assert call.reversible == f"yes; {said}"
    follow_up = FollowUp(tool="crm.lookup", arguments={}, after=3600)
    followed = a_tool(undo=step, follow_up=follow_up, delay=0)
    [call] = reported(bundle(Grant(tool="crm.update"), tool=followed), exercised=["crm.update"]).calls
    assert "made final by crm.lookup after 1 hours, once a person confirms it" in call.reversible


def test_a_measure_may_be_fixed_nested_or_missing() -> None:
    tool = a_tool(blast_radius=money(money="$args.a.b", records=3, services="$args.gone.x"))
    where = {"args.a.b": {"le": 7}, "args.gone": "text"}
    call = worst(Grant(tool="crm.update", where=where), tool=tool)
    assert call.reach == {"records": 3, "money": 7, "services": "$args.gone.x"}


def test_what_it_may_use_beside_tools_is_listed() -> None:
    found = reported(bundle(Grant(tool="crm.lookup"), resources=("file://a",), prompts=("p",), sampling=True))
    assert found.capabilities == ("resource file://a", "prompt p", "sampling")


def test_a_registered_schema_is_respected() -> None:
    schema = {
        "crm.update": {"required": ["amount"], "properties": {"amount": {"type": "integer", "maximum": 9}}}
    }
    checks = {"crm.update": lambda given: None if given["amount"] == 9 else "too much"}
    found = reported(bundle(Grant(tool="crm.update")), schemas=schema, checks=checks)
    assert found.calls[0].arguments == {"amount": 9}
    assert found.calls[0].valid


_asked = st.one_of(
    st.integers(-9, 9),
    st.sampled_from(["EUR", "", "T-1"]),
    st.fixed_dictionaries({"le": st.integers(0, 99)}),
    st.fixed_dictionaries({"ge": st.integers(0, 9), "lt": st.integers(10, 99)}),
    st.fixed_dictionaries({"in": st.lists(st.integers(0, 9), min_size=1, max_size=3)}),
    st.fixed_dictionaries({"prefix": st.sampled_from(["a", "https://x/"])}),
    st.fixed_dictionaries(
        {"all_suffix": st.just("@example.com"), "len": st.fixed_dictionaries({"le": st.integers(1, 4)})}
    ),
    st.fixed_dictionaries({"all_in": st.just(["a", "b"])}),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["args.amount", "args.b", "args.c.d"]), _asked, max_size=3))
def test_a_satisfiable_grant_always_has_a_valid_worst_call(where: dict[str, Any]) -> None:
    found = bundle(Grant(tool="crm.update", where=where))
    [call] = reported(found).calls
    assert call.valid
    assert decided(found, call) is call.verdict


def test_the_worst_call_is_that_of_a_good_run_and_what_else_it_takes_is_listed() -> None:
    asked = Autonomy(confidence_floor=7_000, familiar_after=5)
    calls = {each.tool: each for each in reported(bundle(tool=a_tool(), autonomy=asked)).calls}
    write, read = calls["crm.update"], calls["crm.lookup"]
    assert (write.verdict, len(write.confidence)) == (Verdict.ALLOW_WITH_REVIEW, 2)
    assert read.confidence == ()
    assert worst(autonomy=asked).confidence == (), "a person decides anyway"
