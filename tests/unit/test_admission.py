"""The one decision: fixed order, strictest wins, doubt denies, approval binds, same in, same out (A5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core import refusal
from interlock.core.admission import (
    CAPABILITY_GATES,
    GATES,
    Approved,
    Snapshot,
    any_arguments,
    decide,
    decide_capability,
    decide_model,
    refuse,
)
from interlock.core.bundle import Bundle
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.rule import Rule
from interlock.core.document.spending import Models
from interlock.core.document.workflow import Autonomy, Workflow
from interlock.core.kill import KillLevel
from interlock.core.model import (
    AutonomyTier,
    BreakerState,
    Capability,
    Decision,
    EffectClass,
    Gate,
    Json,
    Pin,
    Request,
    RiskTier,
    Verdict,
    WireFamily,
)
from interlock.core.model_route import RoutingTable
from support.policies import (
    NOW,
    Grant,
    a_bundle,
    a_principal,
    a_reading_tool,
    a_request,
    a_run,
    a_snapshot,
    a_tool,
    a_workflow,
    an_approval,
    decided,
)

few = settings(max_examples=60)
HIGH = a_bundle(tools=(a_reading_tool(), a_tool(tier=RiskTier.HIGH_BLAST_RADIUS)))

conditions = st.dictionaries(
    st.sampled_from(["args.a", "args.b", "tool.tier", "run.taints", "run.calls.crm.update", "args.a.c"]),
    st.sampled_from(
        [
            1,
            "x",
            None,
            {"le": 3},
            {"gt": 1},
            {"in": [1, 2]},
            {"contains": "web"},
            {"present": True},
            {"len": 1},
        ]
    ),
    max_size=2,
)
rules = st.builds(
    lambda tool, then, when: Rule(id="", tool=tool, then=then, when=when),
    st.sampled_from(["*", "crm.lookup", "crm.update"]),
    st.sampled_from([Verdict.ALLOW_WITH_REVIEW, Verdict.REQUIRE_APPROVAL, Verdict.DENY]),
    conditions,
)
rule_lists = st.lists(rules, max_size=4).map(
    lambda found: tuple(replace(rule, id=f"r{index}") for index, rule in enumerate(found))
)
arguments = st.dictionaries(
    st.sampled_from("ab"), st.sampled_from([1, 2, 2.0, True, "x", None, ["web"], {"c": 1}]), max_size=2
)
tool_names = st.sampled_from(["crm.lookup", "crm.update", "crm.delete"])
snapshots = st.fixed_dictionaries(
    {},
    optional={
        "breakers": st.dictionaries(
            st.sampled_from([("agent", "refund-bot"), ("tool", "crm.update")]),
            st.sampled_from(BreakerState),
        ),
        "autonomy": st.sampled_from(AutonomyTier),
        "run": st.builds(
            lambda calls, labels, score: a_run(calls=calls, labels=labels, score=score),
            st.dictionaries(tool_names, st.integers(0, 3)),
            st.frozensets(st.sampled_from(["web", "internal"])),
            st.none() | st.integers(0, 10_000),
        ),
        "kill": st.dictionaries(st.sampled_from(["run:run_1", "run:run_2"]), st.sampled_from(KillLevel)),
        "reach": st.just({"a": 1}),
        "trials": st.integers(0, 4),
    },
)


def test_the_gates_stand_in_the_documented_order() -> None:
    assert [name for name, _ in GATES] == list(Gate)
    assert [name for name, _ in CAPABILITY_GATES] == [
        Gate.TOKEN,
        Gate.ENVIRONMENT,
        Gate.SCOPE,
        Gate.BREAKER,
    ]


def test_the_first_denial_ends_it() -> None:
    revoked = decided("crm.delete", run=a_run(open=False), pin=None, kill={"*": KillLevel.STOP})
    assert [reason.code for reason in revoked.reasons] == ["run_closed"]


@few
@given(rule_lists, rules, tool_names, arguments, snapshots)
def test_adding_a_rule_never_loosens(
    before: tuple[Rule, ...], added: Rule, tool: str, args: dict[str, Any], state: dict[str, Any]
) -> None:
    one = a_bundle(a_workflow(rules=before))
    two = a_bundle(a_workflow(rules=(*before, replace(added, id="added"))))
    loose = decided(tool, args, bundle=one, **state)
    strict = decided(tool, args, bundle=two, **state)
    assert strict.verdict.rank >= loose.verdict.rank


asks = st.builds(
    lambda floor, trials: Autonomy(confidence_floor=floor, familiar_after=trials),
    st.none() | st.integers(0, 10_000),
    st.none() | st.integers(1, 4),
)


@few
@given(rule_lists, asks, tool_names, arguments, snapshots)
def test_asking_for_confidence_never_loosens_and_never_holds_up_a_read(
    some: tuple[Rule, ...], asked: Autonomy, tool: str, args: dict[str, Any], state: dict[str, Any]
) -> None:
    loose = decided(tool, args, bundle=a_bundle(a_workflow(rules=some)), **state)
    strict = decided(tool, args, bundle=a_bundle(a_workflow(rules=some, autonomy=asked)), **state)
    assert strict.verdict.rank >= loose.verdict.rank
    assert strict.denied == loose.denied
    if strict.tier is RiskTier.READ_ONLY:
        assert strict.verdict is loose.verdict


@few
@given(st.sets(st.sampled_from(["crm.lookup", "crm.update"]), min_size=1), conditions, tool_names, arguments)
def test_removing_or_narrowing_a_grant_never_grants(
    kept: set[str], where: dict[str, Any], tool: str, args: dict[str, Any]
) -> None:
    if any(name.startswith("reach") for name in where):
        return
    narrowed = a_bundle(a_workflow(*(Grant(tool=name, where=where) for name in sorted(kept))))
    before, after = decided(tool, args), decided(tool, args, bundle=narrowed)
    assert after.verdict.rank >= before.verdict.rank
    assert after.denied or tool in kept


@few
@given(rule_lists, tool_names, arguments, snapshots)
def test_the_strictest_wins_and_stands_first(
    some: tuple[Rule, ...], tool: str, args: dict[str, Any], state: dict[str, Any]
) -> None:
    decision = decided(tool, args, bundle=a_bundle(a_workflow(rules=some)), **state)
    ranks = [reason.verdict.rank for reason in decision.reasons]
    assert ranks == sorted(ranks, reverse=True)
    assert decision.verdict is decision.reason.verdict
    assert decision.denied == any(reason.verdict is Verdict.DENY for reason in decision.reasons)


@few
@given(rule_lists, tool_names, arguments, snapshots)
def test_the_verdict_is_never_milder_than_the_floor_of_the_tier(
    some: tuple[Rule, ...], tool: str, args: dict[str, Any], state: dict[str, Any]
) -> None:
    state.pop("autonomy", None)
    decision = decided(tool, args, bundle=a_bundle(a_workflow(rules=some)), **state)
    if not decision.denied:
        floors = [Verdict.ALLOW, Verdict.ALLOW_WITH_REVIEW, Verdict.REQUIRE_APPROVAL]
        assert decision.verdict.rank >= floors[decision.tier.rank].rank


@few
@given(rule_lists, asks, tool_names, arguments, snapshots)
def test_deciding_again_from_what_was_recorded_gives_the_identical_decision(
    some: tuple[Rule, ...], asked: Autonomy, tool: str, args: dict[str, Any], state: dict[str, Any]
) -> None:
    bundle = a_bundle(a_workflow(rules=some, autonomy=asked))
    request, snapshot = a_request(tool, **args), a_snapshot(bundle, tool, **state)
    first = decide(request, snapshot, NOW)
    assert decide(request, snapshot, NOW) == first
    assert decide(request, recorded(first, bundle, tool), NOW) == first


def recorded(decision: Decision, bundle: Bundle, tool: str) -> Snapshot:
    """Return the snapshot that a stored decision was made on."""
    read: dict[str, Json] = dict(decision.read)
    run, known = read["run"], read.get("confidence", {})
    breakers = {
        (key.split(":")[0], key.split(":")[1]): BreakerState(state)
        for key, state in read.get("breakers", {}).items()
    }
    return a_snapshot(
        bundle,
        tool,
        environment=read["environment"],
        pin=Pin(tool=tool, digest=decision.pin),
        run=a_run(
            run=run["id"],
            open=run["open"],
            calls=run["calls"],
            labels=frozenset(run["taints"]),
            score=known.get("scores", {}).get(run["id"]),
        ),
        trials=known.get("trials", 0),
        breakers=breakers or ({("tool", "none"): BreakerState.CLOSED} if "breakers" in read else {}),
        kill=_kills(read["kill"]) if "kill" in read else {},
        autonomy=AutonomyTier(read["autonomy"]) if "autonomy" in read else None,
        reach=read.get("reach"),
    )


def _kills(read: dict[str, str]) -> dict[str, KillLevel]:
    return {subject: KillLevel(level) for subject, level in read.items()} or {"run:other": KillLevel.STOP}


class Unreadable(dict[str, Any]):
    """A mapping that fails on every use, as a broken disk or a bug would make it."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("hunter2")

    __getitem__ = __iter__ = __len__ = items = keys = get


@pytest.mark.parametrize(
    ("snapshot", "gate"),
    [
        ({"run": a_run(calls=Unreadable())}, Gate.CONSTRAINTS),
        ({"run": a_run(labels=5)}, Gate.APPROVAL),
        ({"breakers": Unreadable()}, Gate.BREAKER),
        ({"schema_problem": lambda arguments: 1 / 0}, Gate.SCHEMA),
        ({"accounts": None}, Gate.BUDGET),
        ({"revoked": None}, Gate.TOKEN),
        ({"autonomy": "none such"}, Gate.APPROVAL),
    ],
)
def test_an_error_while_deciding_is_a_denial_that_names_the_check(
    snapshot: dict[str, Any], gate: Gate
) -> None:
    bundle = a_bundle(a_workflow(Grant(tool="crm.lookup", max_calls=3)))
    decision = decided(bundle=bundle, **snapshot)
    assert (decision.verdict, decision.reason.code) == (Verdict.DENY, "error_while_deciding")
    assert decision.reason.gate is gate
    assert "hunter2" not in decision.reason.message


@pytest.mark.parametrize(
    "part", ["bundle", "revoked", "run", "pin", "accounts", "breakers", "kill", "schema_problem", "approved"]
)
def test_a_snapshot_with_a_broken_part_never_lets_anything_pass(part: str) -> None:
    assert decide(a_request(), replace(a_snapshot(), **{part: object()}), NOW).denied


def test_an_approval_of_exactly_this_call_lets_it_pass() -> None:
    waiting = decided("crm.update", {"n": 1}, bundle=HIGH)
    assert waiting.verdict is Verdict.REQUIRE_APPROVAL
    passed = decided("crm.update", {"n": 1}, bundle=HIGH, approved=an_approval(waiting))
    assert (passed.verdict, passed.reason.code) == (Verdict.ALLOW, "approved")
    assert passed.reasons[1:] == waiting.reasons


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"digest": "other"}, "approval_other_arguments"),
        ({"pin": "other"}, "approval_pin_moved"),
        ({"bundle": "other"}, "approval_bundle_moved"),
    ],
)
def test_an_approval_of_something_else_must_be_given_again(changes: dict[str, str], code: str) -> None:
    waiting = decided("crm.update", {"n": 1}, bundle=HIGH)
    again = decided("crm.update", {"n": 1}, bundle=HIGH, approved=an_approval(waiting, **changes))
    assert (again.verdict, again.reason.code) == (Verdict.REQUIRE_APPROVAL, code)


@few
@given(rule_lists, tool_names, arguments, snapshots)
def test_an_approval_never_turns_a_denial(
    some: tuple[Rule, ...], tool: str, args: dict[str, Any], state: dict[str, Any]
) -> None:
    bundle = a_bundle(a_workflow(rules=some))
    before = decided(tool, args, bundle=bundle, **state)
    after = decided(tool, args, bundle=bundle, approved=an_approval(before), **state)
    if before.verdict is Verdict.REQUIRE_APPROVAL:
        assert after.verdict is Verdict.ALLOW
    else:
        assert after.verdict is before.verdict


def test_a_decision_names_what_it_was_decided_on() -> None:
    decision = decided("crm.update", {"n": 1}, bundle=HIGH)
    assert decision.bundle == HIGH.digest
    assert decision.pin == "pin-1"
    assert decision.digest == a_request(n=1).digest
    assert decision.decided_at == NOW
    assert (decision.tier, decision.effect) == (RiskTier.HIGH_BLAST_RADIUS, EffectClass.IDEMPOTENT)


@pytest.mark.parametrize(
    ("capability", "name", "passes"),
    [
        (Capability.RESOURCE, "file:///repo/a", True),
        (Capability.RESOURCE, "file:///etc/passwd", False),
        (Capability.PROMPT, "triage", True),
        (Capability.SAMPLING, "", True),
        (Capability.ELICITATION, "", False),
        (Capability.COMPLETION, "", False),
    ],
)
def test_capabilities_are_decided_like_calls(capability: Capability, name: str, passes: bool) -> None:
    workflow = a_workflow(resources=("file:///repo/*",), prompts=("triage",), sampling=True)
    snapshot = replace(a_snapshot(a_bundle(workflow)), pin=None)
    decision = decide_capability(a_principal(), capability, name, snapshot, NOW)
    assert decision.verdict is (Verdict.ALLOW if passes else Verdict.DENY)
    assert decision.reason.gate is Gate.SCOPE
    assert decision.tier is RiskTier.READ_ONLY


def test_a_capability_is_denied_by_token_kill_and_error() -> None:
    snapshot = a_snapshot(a_bundle(a_workflow(prompts=("*",))))

    def code(**changes: Any) -> str:
        broken = replace(snapshot, **changes)
        return decide_capability(a_principal(), Capability.PROMPT, "p", broken, NOW).reason.code

    assert code() == "granted"
    assert code(run=None) == "unknown_run"
    assert code(kill={"*": KillLevel.STOP}) == "killed"
    assert code(breakers=Unreadable({"a": 1})) == "error_while_deciding"


def test_a_request_is_decided_without_being_changed() -> None:
    request: Request = a_request("crm.update", n=1)
    decide(request, a_snapshot(HIGH, "crm.update"), NOW)
    assert request == a_request("crm.update", n=1)
    assert any_arguments(request.arguments) is None
    assert Approved.__doc__


ACME = Provider(
    name="acme",
    base_url="https://acme.example/v1",
    wire_formats=(WireFamily.OPENAI,),
    models=(ProviderModel(name="gpt-test"),),
)
CALLING = replace(a_workflow(), models=Models(allow=("gpt-test",)))


def model_decided(asked: str = "gpt-test", *more: Workflow, **changes: Any) -> tuple[Decision, list[str]]:
    snapshot = replace(a_snapshot(bundle=a_bundle(CALLING, ACME, *more)), **changes)
    decision, routes = decide_model(
        a_principal(), asked, WireFamily.OPENAI, RoutingTable([ACME]), snapshot, NOW
    )
    return decision, [route.label for route in routes]


def test_a_model_in_scope_is_allowed_and_has_its_route() -> None:
    decision, routes = model_decided()
    assert decision.verdict is Verdict.ALLOW
    assert decision.reason.code == "model_granted"
    assert routes == ["acme/gpt-test"]


def test_a_run_calls_only_models_that_the_runs_above_it_may_call() -> None:
    for allowed, denied in (("gpt-test", False), ("*", False), ("", True)):
        models = Models(allow=(allowed,) if allowed else ())
        parents = replace(a_workflow(name="parents"), models=models)
        decision, routes = model_decided("gpt-test", parents, above=(a_run(run="run_0", workflow="parents"),))
        assert (decision.denied, bool(routes)) == (denied, not denied)


def test_a_model_out_of_scope_is_denied_and_goes_nowhere() -> None:
    decision, routes = model_decided("other")
    assert decision.reason.code == "unknown_model"
    assert decision.denied
    assert routes == []


def test_a_stop_denies_model_calls_and_a_freeze_lets_them_pass() -> None:
    stopped, _ = model_decided(kill={"*": KillLevel.STOP})
    frozen, _ = model_decided(kill={"*": KillLevel.FREEZE})
    assert stopped.reason.code == "killed"
    assert frozen.verdict is Verdict.ALLOW


def test_a_closed_run_calls_no_model() -> None:
    decision, _ = model_decided(run=a_run(open=False))
    assert decision.reason.code == "run_closed"


def test_a_call_can_be_refused_before_any_check_is_asked() -> None:
    decision = refuse(a_request(), refusal.KEY_REUSED, a_snapshot(), 7)
    assert decision.denied
    assert decision.reason.code == "key_reused"
    assert decision.decided_at == 7
