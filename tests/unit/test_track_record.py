"""A tier moves up on evidence that somebody had before their eyes, and down by itself (F1, F3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.action import Action, ActionState, advance
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.confidence import MOST_TRIALS
from interlock.core.document.identity import Agent, Person
from interlock.core.document.rule import Policy, Rule
from interlock.core.document.tool import BlastRadius, Companion, Tool, ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import AutonomyTier, EffectClass, RiskTier, Verdict
from interlock.core.track_record import (
    Finding,
    TrackRecord,
    after_change,
    basis_of,
    counted,
    finding_of,
    known_trials,
    moved,
    provable,
)

FREE, REVIEWED, ASKED = AutonomyTier
S = ActionState


def a_record(tier: AutonomyTier = REVIEWED, **changes: Any) -> TrackRecord:
    return TrackRecord(workflow="orders", tool="shop.refund", tier=tier, basis="v1", began_at=0, **changes)


def an_action(state: ActionState = S.EXECUTING, **changes: Any) -> Action:
    values: dict[str, Any] = {
        "id": "act_1", "run": "run_1", "agent": "bot", "workflow": "orders", "workflow_version": 1,
        "tool": "shop.refund", "arguments": {}, "digest": "d", "state": state, "effect": EffectClass.ONCE,
        "tier": RiskTier.LIMITED_WRITE, "verdict": Verdict.ALLOW_WITH_REVIEW, "bundle": "b", "pin": "p",
        "created_at": 1, "updated_at": 1, "lease_until": 9, "attempt": 1,
    }  # fmt: skip
    return Action(**values | changes)


def test_67_clean_trials_prove_enough_for_review_and_341_for_autonomy() -> None:
    assert not a_record(ASKED, clean=66).proven
    assert a_record(ASKED, clean=67).proven
    assert not a_record(REVIEWED, clean=340).proven
    assert a_record(REVIEWED, clean=341).proven
    assert (a_record(REVIEWED).clean_needed, a_record(REVIEWED, failed=1).clean_needed) == (341, 619)


def test_a_record_says_in_words_how_far_the_proof_has_come() -> None:
    assert a_record(clean=212).in_words == "not yet proved: 212 of about 341 clean trials"
    assert a_record(clean=2, failed=1).in_words == (
        "not yet proved: 2 of about 619 clean trials, with 1 failed"
    )
    assert a_record(clean=341).in_words == "proved: 341 clean trials, 0 failed"
    assert a_record(FREE).in_words.startswith("nothing to prove")


def test_above_full_autonomy_there_is_nothing_to_prove() -> None:
    top = a_record(FREE, clean=100_000)
    assert (top.proven, top.rate, top.clean_needed) == (False, None, 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.sampled_from(AutonomyTier))
def test_what_nobody_looked_at_is_no_success_but_every_failure_counts(
    trials: list[tuple[bool, bool]], tier: AutonomyTier
) -> None:
    record = a_record(tier)
    for failed, seen in trials:
        record = counted(record, failed=failed, seen=seen)
    assert record.clean == sum(seen and not failed for failed, seen in trials)
    assert record.failed == sum(failed for failed, _ in trials)
    assert record.alarm >= 0


def test_two_failures_back_to_back_end_full_autonomy_and_three_end_review() -> None:
    twice = counted(counted(a_record(FREE), failed=True, seen=True), failed=True, seen=True)
    assert twice.alarmed
    record = a_record(REVIEWED)
    for expected in (False, False, True):
        record = counted(record, failed=True, seen=True)
        assert record.alarmed is expected


def test_audited_trials_have_an_alarm_of_their_own_that_the_others_do_not_drown() -> None:
    record = a_record(FREE)
    for _ in range(2):
        record = counted(record, failed=True, seen=True, audited=True)
        for _ in range(40):
            record = counted(record, failed=False, seen=False)
    assert record.watch is not None
    assert not record.watch.alarmed(record.alarm)
    assert record.alarmed


def test_where_a_person_decides_on_every_call_there_is_no_alarm() -> None:
    record = counted(a_record(ASKED), failed=True, seen=True, audited=True)
    assert (record.alarm, record.audit_alarm, record.alarmed, record.failed) == (0, 0, False, 1)


def test_a_move_begins_a_new_record() -> None:
    before = a_record(REVIEWED, clean=341, failed=2, alarm=5, audit_alarm=6, proposed_at=7)
    assert moved(before, FREE, now=9) == replace(a_record(FREE), began_at=9)
    assert moved(before, FREE, now=9, basis="v2").basis == "v2"


@pytest.mark.parametrize(
    ("tier", "usual", "then"),
    [
        (FREE, ASKED, REVIEWED),
        (REVIEWED, ASKED, ASKED),
        (FREE, REVIEWED, REVIEWED),
        (REVIEWED, REVIEWED, REVIEWED),
        (ASKED, REVIEWED, ASKED),
        (ASKED, ASKED, ASKED),
    ],
)
def test_a_new_version_loses_one_step_of_what_was_earned_and_regains_nothing(
    tier: AutonomyTier, usual: AutonomyTier, then: AutonomyTier
) -> None:
    assert after_change(tier, usual) is then


@pytest.mark.parametrize(
    ("was", "to", "found"),
    [
        (S.EXECUTING, S.SUCCEEDED, Finding.HELD),
        (S.IN_DOUBT, S.SUCCEEDED, Finding.HELD),
        (S.EXECUTING, S.FAILED, Finding.FAILED),
        (S.IN_DOUBT, S.FAILED, Finding.FAILED),
        (S.EXECUTING, S.IN_DOUBT, None),
        (S.EXECUTING, S.RETRY, None),
        (S.SUCCEEDED, S.COMPENSATING, Finding.FAILED),
        (S.COMPENSATING, S.COMPENSATION_FAILED, Finding.SEVERE),
        (S.COMPENSATING, S.COMPENSATED, None),
        (S.EXECUTING, S.PENDING_SETTLEMENT, Finding.HELD),
        (S.PENDING_SETTLEMENT, S.SETTLED, None),
        (S.PENDING_SETTLEMENT, S.COMPENSATION_FAILED, Finding.SEVERE),
    ],
)
def test_what_a_move_says_about_a_trial(was: ActionState, to: ActionState, found: Finding | None) -> None:
    before = an_action(was)
    assert finding_of(before, advance(before, to, now=5)) is found


@pytest.mark.parametrize("to", [S.REJECTED, S.SUPERSEDED])
def test_what_a_person_refuses_or_corrects_is_a_failure(to: ActionState) -> None:
    before = an_action(S.WAITING_APPROVAL, attempt=0)
    assert finding_of(before, advance(before, to, now=5)) is Finding.FAILED


def test_expiry_says_nothing_nor_does_an_error_that_the_caller_can_correct() -> None:
    waiting, sent = an_action(S.WAITING_APPROVAL, attempt=0), an_action()
    assert finding_of(waiting, advance(waiting, S.EXPIRED, now=5)) is None
    correctable = {"structuredContent": {"status": 422}}
    assert finding_of(sent, advance(sent, S.FAILED, now=5, result=correctable)) is None


def test_a_new_action_a_read_and_an_undo_are_no_trials() -> None:
    assert finding_of(None, an_action(S.SUCCEEDED)) is None
    for before in (an_action(tier=RiskTier.READ_ONLY), an_action(comp_of="act_0")):
        assert finding_of(before, advance(before, S.SUCCEEDED, now=5)) is None


def a_bundle(*, version: int = 1, tool: dict[str, Any] | None = None, rules: tuple[Rule, ...] = ()) -> Bundle:
    reach = BlastRadius(widest_scope="one", impact="some", reversible="yes")
    known: dict[str, Any] = {
        "name": "shop.refund", "tier": RiskTier.HIGH_BLAST_RADIUS, "effect": EffectClass.ONCE,
        "blast_radius": reach, "undo": Companion(tool="shop.refund", arguments={}),
    }  # fmt: skip
    return compile_bundle(
        [
            Person(name="maria", email="m@example.com"),
            Agent(name="bot", owner="maria"),
            ToolServer(name="shop", transport="stdio", command=("shop",)),
            Tool(**known | (tool or {})),
            Workflow(name="orders", agent="bot", owner="maria", tools=(Grant(tool="shop.refund"),)),
            Workflow(name="idle", agent="bot", owner="maria"),
            Policy(name="all", rules=rules),
        ],
        environment="dev",
        versions={"orders": version, "idle": 1},
    )


def basis(bundle: Bundle, pin: str = "p") -> str:
    return basis_of(bundle, "orders", "shop.refund", pin)


def test_a_version_is_another_when_workflow_schema_map_or_a_rule_that_touches_it_changes() -> None:
    rule = Rule(id="r", tool="*", then=Verdict.DENY, when={"args.n": {"gt": 3}})
    elsewhere = Rule(id="e", tool="shop.other", then=Verdict.DENY, when={"args.n": {"gt": 3}})
    first = basis(a_bundle())
    assert first == basis(a_bundle())
    others = [
        basis(a_bundle(version=2)),
        basis(a_bundle(), pin="q"),
        basis(a_bundle(tool={"dedupe": 5})),
        basis(a_bundle(rules=(rule,))),
        basis(a_bundle(rules=(replace(rule, tool="shop.refund"),))),
    ]
    assert len({first, *others}) == 6
    more = a_bundle(tool={})
    assert basis_of(more, "orders", "shop.refund", "p") == first
    assert basis(replace(more, documents=(*more.documents, Policy(name="z", rules=(elsewhere,))))) == first


def test_what_cannot_be_undone_is_not_mapped_or_not_in_scope_is_never_promoted() -> None:
    assert provable(a_bundle(), "orders", "shop.refund") == ""
    assert "scope" in provable(a_bundle(), "idle", "shop.refund")
    assert "map" in provable(a_bundle(tool={"blast_radius": None}), "orders", "shop.refund")
    assert "undone" in provable(a_bundle(tool={"undo": None}), "orders", "shop.refund")
    asking = a_bundle()
    tools = {**asking.tools, "shop.refund": replace(asking.tools["shop.refund"], person=True)}
    assert "person" in provable(replace(asking, tools=tools), "orders", "shop.refund")


def test_a_promotion_stands_for_the_trials_that_it_took_and_a_new_version_has_none() -> None:
    assert known_trials(a_record(REVIEWED, clean=4), REVIEWED) == 4
    assert known_trials(moved(a_record(REVIEWED, clean=341), FREE, now=9), REVIEWED) == MOST_TRIALS
    assert known_trials(moved(a_record(FREE, clean=60), REVIEWED, now=9), REVIEWED) == 0, "it was demoted"
    assert known_trials(moved(a_record(FREE, clean=60), REVIEWED, now=0, basis="v2"), ASKED) == 0
