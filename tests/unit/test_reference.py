"""Every name in the documents resolves to something, or is a problem with a near name (A3, G7, H3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.bundle import BundleInvalid, Problem, compile_bundle
from interlock.core.document.identity import Agent, Organisation, Person, Rotation, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import Provider, ProviderCredentials
from interlock.core.document.runbook import Baseline, FailureMode, Runbook
from interlock.core.document.spending import Budget, Compression
from interlock.core.document.tool import Credentials, Exercise, Probe, Tool, ToolServer
from interlock.core.document.workflow import Approvals
from interlock.core.model import EffectClass, RiskTier
from support.policies import Companion, Grant, Policy, a_reading_tool, a_rule, a_tool, a_workflow, documents

MODE = FailureMode(name="runaway", symptoms="cost", first_action="look", escalate_when="it goes on")


def problems(
    *more: AnyDocument, workflow: Any = None, tools: tuple[Tool, ...] | None = None
) -> list[Problem]:
    try:
        compile_bundle(documents(workflow, *more, tools=tools), environment="dev")
    except BundleInvalid as invalid:
        return list(invalid.problems)
    return []


def a_rota(**changes: Any) -> Rotation:
    values: dict[str, Any] = {"name": "turns", "members": ("maria",), "tz": "UTC", "first": 0}
    return Rotation(**values | changes)


UNDO = Companion(tool="crm.update", arguments={})


def test_one_server_stands_in_for_a_tool_and_its_undo() -> None:
    tool = a_tool("crm.x", undo=Companion(tool="erp.y", arguments={}), exercise=Exercise(server="crm"))
    said = [each.message for each in problems(tool)]
    assert "one server stands in for the tool and its undo, so both must be of one server" in said
    assert problems(a_tool("crm.x", undo=UNDO, exercise=Exercise(server="crm"))) == []


def test_a_rota_is_asked_by_its_own_name_or_by_that_of_a_team() -> None:
    workflow = a_workflow(approvals=Approvals(approvers=("turns",), fallback=("t",)))
    assert problems(a_rota(), Team(name="t", rota="turns"), workflow=workflow) == []
    [problem] = problems(a_rota(name="t"), Team(name="t"))
    assert problem.message == "a team is called 't' too"


def with_tools(*tools: Tool) -> list[Problem]:
    return problems(workflow=a_workflow(Grant(tool=tools[0].name)), tools=tools)


def test_documents_that_name_only_what_exists_are_fine() -> None:
    team = Team(name="leads", members=("maria", "deng"))
    workflow = a_workflow(
        approvals=Approvals(approvers=("maria",), fallback=("leads",), escalation=("deng",))
    )
    assert problems(team, workflow=workflow) == []


@pytest.mark.parametrize(
    ("document", "path", "message", "near"),
    [
        (Team(name="t", members=("mari",)), ("spec", "members", 0), "unknown Person 'mari'", "maria"),
        (Team(name="t", rota="turns"), ("spec", "rota"), "unknown Rotation 'turns'", None),
        (a_rota(members=("mari",)), ("spec", "members", 0), "unknown Person 'mari'", "maria"),
        (a_rota(name="maria"), ("metadata", "name"), "a person is called 'maria' too", None),
        (a_rota(tz="Europe/Berlinn"), ("spec", "tz"), "unknown time zone 'Europe/Berlinn'", None),
        (
            ToolServer(name="s", transport="stdio", credentials=Credentials(owner="nobody")),
            ("spec", "credentials", "owner"),
            "unknown Person 'nobody'",
            None,
        ),
        (
            Provider(name="p", base_url="x", wire_formats=(), credentials=ProviderCredentials(owner="mari")),
            ("spec", "credentials", "owner"),
            "unknown Person 'mari'",
            "maria",
        ),
        (
            Organisation(name="o", budget=Budget(route=("maria", "dengg"))),
            ("spec", "budget", "route", 1),
            "unknown Person or Team 'dengg'",
            "deng",
        ),
        (
            Agent(name="a", owner="maria", budget=Budget(route=("x",))),
            ("spec", "budget", "route", 0),
            "unknown Person or Team 'x'",
            None,
        ),
        (
            Runbook(name="r", owner="dengg", escalation=("deng",)),
            ("spec", "owner"),
            "unknown Person 'dengg'",
            "deng",
        ),
        (
            Runbook(name="r", escalation=("leads",)),
            ("spec", "escalation", 0),
            "unknown Person or Team 'leads'",
            None,
        ),
        (
            Runbook(name="r", failure_modes=(MODE, MODE)),
            ("spec", "failure_modes", 1, "name"),
            "the failure mode 'runaway' stands there twice",
            None,
        ),
        (Agent(name="a", owner="dang"), ("spec", "owner"), "unknown Person 'dang'", "deng"),
        (Agent(name="a", owner="maria", backup="x"), ("spec", "backup"), "unknown Person 'x'", None),
        (Agent(name="a", owner="maria", backup="maria"), ("spec", "backup"), "the backup is the owner", None),
        (a_tool("crmm.x"), ("metadata", "name"), "unknown ToolServer 'crmm'", "crm"),
        (a_tool("lookup"), ("metadata", "name"), "a tool is named server.tool", None),
        (a_tool("crm."), ("metadata", "name"), "a tool is named server.tool", None),
        (a_tool("crm.x", sinks=("args.to", "account")), ("spec", "sinks", 1), "a sink is an argument", None),
        (
            a_tool("crm.x", tier=RiskTier.READ_ONLY, effect=EffectClass.ONCE),
            ("spec", "effect"),
            "a read_only tool has the effect read",
            None,
        ),
        (
            a_tool("crm.x", preview=Companion(tool="crm.update", arguments={})),
            ("spec", "preview", "tool"),
            "a preview is read_only",
            None,
        ),
        (
            a_tool("crm.x", preview=Companion(tool="crm.lokup", arguments={})),
            ("spec", "preview", "tool"),
            "unknown Tool 'crm.lokup'",
            "crm.lookup",
        ),
        (
            a_tool("crm.x", undo=Companion(tool="crm.undo", arguments={})),
            ("spec", "undo", "tool"),
            "unknown Tool 'crm.undo'",
            "crm.update",
        ),
        (
            a_tool(
                "crm.x", undo=Companion(tool="crm.update", arguments={"a": ["$argz.id", "$$1", "text", 5]})
            ),
            ("spec", "undo", "arguments", "a", 0),
            "use $args.NAME or $result.NAME",
            None,
        ),
        (
            a_tool("crm.x", preview=Companion(tool="crm.lookup", arguments={"a": {"b": "$result.id"}})),
            ("spec", "preview", "arguments", "a", "b"),
            "use $args.NAME",
            None,
        ),
        (
            a_tool("crm.x", undo=UNDO, exercise=Exercise(server="crmm")),
            ("spec", "exercise", "server"),
            "unknown ToolServer 'crmm'",
            "crm",
        ),
        (
            a_tool("crm.x", exercise=Exercise(server="crm")),
            ("spec", "exercise"),
            "this tool names none",
            None,
        ),
        (
            a_tool("crm.x", preview=Companion(tool="crm.lookup", arguments={"a": "$args"})),
            ("spec", "preview", "arguments", "a"),
            "use $args.NAME",
            None,
        ),
        (
            Policy(name="p", rules=(a_rule(tool="crm.updat"),)),
            ("spec", "rules", 0, "tool"),
            "unknown Tool 'crm.updat'",
            "crm.update",
        ),
        (
            Policy(name="p", rules=(a_rule(), a_rule())),
            ("spec", "rules", 1, "id"),
            "the rule id 'rule' is used twice",
            None,
        ),
    ],
)
def test_a_name_that_means_nothing_is_a_problem(
    document: AnyDocument, path: tuple[str | int, ...], message: str, near: str | None
) -> None:
    (problem,) = problems(document)
    assert problem.path == path
    assert message in problem.message
    assert problem.near == near
    assert problem.document[1] == document.name


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"agent": "refund-bt"}, ("spec", "agent"), "unknown Agent 'refund-bt'"),
        ({"owner": "mario"}, ("spec", "owner"), "unknown Person 'mario'"),
        (
            {"approvals": Approvals(approvers=("maria",), fallback=("leads",))},
            ("spec", "approvals", "fallback", 0),
            "unknown Person, Team or Rotation 'leads'",
        ),
        ({"tools": (Grant(tool="erp.x"),)}, ("spec", "tools", 0, "tool"), "unknown Tool 'erp.x'"),
        (
            {"tools": (Grant(tool="crm.lookup"), Grant(tool="crm.lookup"))},
            ("spec", "tools", 1, "tool"),
            "granted twice",
        ),
        (
            {"rules": (a_rule(tool="crm.nothing"),)},
            ("spec", "rules", 0, "tool"),
            "unknown Tool 'crm.nothing'",
        ),
    ],
)
def test_a_workflow_names_what_exists(
    changes: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    (problem,) = problems(workflow=a_workflow(**changes))
    assert problem.path == path
    assert message in problem.message


def test_a_tool_that_a_known_server_may_offer_can_be_granted_and_ruled_before_it_is_mapped() -> None:
    workflow = a_workflow(Grant(tool="crm.new"), rules=(a_rule(tool="crm.new"),))
    assert problems(Policy(name="p", rules=(a_rule("r", "crm.new"),)), workflow=workflow) == []


def test_a_rule_id_names_one_rule_in_all_that_apply_together() -> None:
    one, two = Policy(name="one", rules=(a_rule("x"),)), Policy(name="two", rules=(a_rule("x"),))
    (problem,) = problems(one, two)
    assert problem.document[1] == "two"
    (problem,) = problems(one, workflow=a_workflow(rules=(a_rule("x"),)))
    assert problem.document == ("Workflow", "refunds", "")
    assert problem.message == "the rule id 'x' is used by the Policy one already"


def test_what_is_declared_for_another_environment_is_said_to_be() -> None:
    person = Person(name="kim", email="kim@example.com", environment="production")
    (problem,) = problems(person, workflow=a_workflow(owner="kim"))
    assert problem.message == "unknown Person 'kim': it is declared for production, this is dev"


def test_a_preview_without_a_complete_entry_is_none() -> None:
    unsaid = a_reading_tool("crm.count")
    found = with_tools(
        a_tool("crm.x", preview=Companion(tool="crm.count", arguments={})), replace(unsaid, effect=None)
    )
    assert [each.message for each in found] == ["a preview is read_only, and this tool is not"]


def test_an_undo_may_be_undone_by_what_it_undoes() -> None:
    def undone_by(name: str, other: str) -> Tool:
        return a_tool(name, undo=Companion(tool=other, arguments={}))

    pair = (undone_by("crm.close", "crm.reopen"), undone_by("crm.reopen", "crm.close"))
    assert with_tools(*pair, undone_by("crm.toggle", "crm.toggle")) == []


def test_circles_through_a_preview_are_named_once() -> None:
    def measured_by(name: str, other: str, **more: Any) -> Tool:
        return a_reading_tool(name, preview=Companion(tool=other, arguments={}), **more)

    found = with_tools(
        a_tool("crm.a", preview=Companion(tool="crm.b", arguments={})),
        measured_by("crm.b", "crm.c"),
        measured_by("crm.c", "crm.b"),
        a_reading_tool("crm.count", undo=Companion(tool="crm.send", arguments={})),
        measured_by("crm.self", "crm.self"),
        a_tool("crm.send", preview=Companion(tool="crm.count", arguments={})),
    )
    assert [problem.message for problem in found] == [
        "a preview runs in a circle: crm.b -> crm.c -> crm.b",
        "a preview runs in a circle: crm.self -> crm.self",
        "a preview runs in a circle: crm.send -> crm.count -> crm.send",
    ]


def test_two_ways_to_one_tool_are_no_circle() -> None:
    both = {
        "preview": Companion(tool="crm.read", arguments={"id": "$args.id"}),
        "undo": Companion(tool="crm.b", arguments={"id": "$result.id"}),
    }
    b = a_tool("crm.b", preview=Companion(tool="crm.read", arguments={}))
    assert with_tools(a_tool("crm.a", **both), b, a_reading_tool("crm.read")) == []


def test_there_is_one_organisation() -> None:
    assert problems(Organisation(name="acme")) == []
    [problem] = problems(Organisation(name="acme"), Organisation(name="bcme"))
    assert problem.document == ("Organisation", "bcme", "")
    assert problem.message == "there is one organisation, and 'acme' is it"


def test_a_workflow_names_a_runbook_that_is_complete() -> None:
    whole = Runbook(
        name="refunds",
        owner="maria",
        baseline=Baseline(success_rate=9_900, latency=1, cost_per_run=1, runs_per_hour=1),
        failure_modes=(MODE,),
        escalation=("deng",),
        rollback="apply the last version",
    )
    flow = a_workflow(runbook="refunds")
    assert problems(whole, workflow=flow) == []
    [problem] = problems(replace(whole, rollback="", escalation=()), workflow=flow)
    assert problem.message == "the runbook refunds is not complete: it lacks escalation, rollback"
    [problem] = problems(replace(whole, name="refund"), workflow=flow)
    assert (problem.path, problem.near) == (("spec", "runbook"), "refund")


def test_a_compression_rule_names_a_tool_that_there_is() -> None:
    rules = tuple(Compression(tool=tool, above=2, to=1) for tool in ("*", "crm.lookup", "crn.lookup"))
    [problem] = problems(workflow=a_workflow(compression=rules))
    assert (problem.path, problem.near) == (("spec", "compression", 2, "tool"), "crm.lookup")


def test_a_probe_is_a_read_of_a_tool_that_can_be_probed() -> None:
    paid = replace(a_tool("crm.x"), effect=EffectClass.PROBEABLE)
    known = (a_reading_tool(), a_tool())
    asked = Probe(tool="crm.lookup", arguments={"key": "$key", "order": "$args.order"})
    assert with_tools(replace(paid, probe=asked), *known) == []
    for wrong, path, message in (
        (replace(asked, tool="crm.update"), ("spec", "probe", "tool"), "a probe is read_only"),
        (replace(asked, tool="crm.lokup"), ("spec", "probe", "tool"), "crm.lokup"),
        (
            replace(asked, arguments={"k": "$key.id"}),
            ("spec", "probe", "arguments", "k"),
            "use $args.NAME or $key",
        ),
        (replace(asked, arguments={"k": "$result.id"}), ("spec", "probe", "arguments", "k"), "$result.id"),
    ):
        [problem] = with_tools(replace(paid, probe=wrong), *known)
        assert problem.path == path
        assert message in problem.message
    [problem] = with_tools(replace(paid, probe=asked, effect=EffectClass.ONCE), *known)
    assert problem.message == "a probe belongs to a tool of the effect probeable"
