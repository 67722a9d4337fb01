"""Undos: built from what is known or not at all, the last first, and stopped by nothing but a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.action import Action, ActionState, advance
from interlock.core.compensation import (
    AWAITED,
    TRIES,
    NotBuilt,
    Undo,
    after_no_answer,
    after_unsent,
    begins_at,
    build,
    effect_of,
    in_order,
    kept,
    plan,
    render,
)
from interlock.core.document.tool import Companion
from interlock.core.model import MINUTE, SECOND, EffectClass, RiskTier, Verdict

_S = ActionState
UNDO = Undo(action="act_1", tool="shop.drop", arguments={"item": 1}, digest="d")


def an_action(state: ActionState = _S.SUCCEEDED, **fields: Any) -> Action:
    """Return an action."""
    values: dict[str, Any] = {
        "id": "act_1", "run": "run_1", "agent": "bot", "workflow": "orders", "workflow_version": 1,
        "tool": "shop.add", "arguments": {"order": 5, "lines": [{"sku": "a"}]}, "digest": "d", "state": state,
        "effect": EffectClass.IDEMPOTENT, "tier": RiskTier.LIMITED_WRITE, "verdict": Verdict.ALLOW,
        "bundle": "b", "pin": "p", "created_at": 1, "updated_at": 1,
    }  # fmt: skip
    return Action(**values | fields)


RESULT = {"structuredContent": {"id": "R-1", "lines": [{"n": 3}]}}


def test_references_are_replaced_by_values_of_their_own_type() -> None:
    wanted = {
        "refund": "$result.id",
        "order": "$args.order",
        "n": "$result.lines.0.n",
        "say": "$$x",
        "k": True,
    }
    found = render({**wanted, "deep": {"skus": ["$args.lines.0.sku"]}}, an_action().arguments, RESULT)
    assert found == {
        "refund": "R-1", "order": 5, "n": 3, "say": "$x", "k": True, "deep": {"skus": ["a"]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "result", "said"),
    [
        ("$args.missing", RESULT, "the call has no $args.missing"),
        ("$args.lines.7", RESULT, "the call has no $args.lines.7"),
        ("$args.order.x", RESULT, "the call has no $args.order.x"),
        ("$result.missing", RESULT, "the result of the call has no $result.missing"),
        ("$result.id", None, "the result of the call is not known, and its undo needs $result.id"),
        ("$result.id", {}, "the result of the call is not an object"),
        ("$result.id", {"content": ["text"]}, "the result of the call is not an object"),
        ("$result.id", {"content": [{"text": "hello"}]}, "the result of the call is not an object"),
        ("$result.id", {"content": [{"text": 1}]}, "the result of the call is not an object"),
        ("$result.id", {"content": [{}, {}]}, "the result of the call is not an object"),
    ],
)
def test_a_value_that_is_missing_is_said_and_never_made_up(
    reference: str, result: dict[str, Any] | None, said: str
) -> None:
    with pytest.raises(NotBuilt) as problem:
        render({"x": reference}, an_action().arguments, result)
    assert str(problem.value) == said


def test_a_result_that_is_one_json_text_is_read() -> None:
    assert render({"x": "$result.id"}, {}, {"content": [{"text": '{"id": "R-2"}'}]}) == {"x": "R-2"}


def test_an_undo_is_built_with_its_digest_and_its_window_or_says_why_not() -> None:
    built = build(an_action(), Companion(tool="t", arguments={"a": "$args.order"}), None, ended_at=9)
    assert (built.arguments, built.until, built.problem, bool(built.digest)) == ({"a": 5}, 0, "", True)
    within = Companion(tool="t", arguments={"a": "$result.id"}, within=60)
    unknown = build(an_action(), within, None, ended_at=9)
    assert (unknown.arguments, unknown.until) == (None, 9 + 60 * SECOND)
    assert unknown.problem
    odd = build(an_action(), Companion(tool="t", arguments={"a": float("nan")}), None, ended_at=9)
    assert odd.problem == "its arguments are not acceptable"


@pytest.mark.parametrize(
    ("action", "undo", "code"),
    [
        (an_action(comp_of="act_0"), UNDO, "is_an_undo"),
        (an_action(_S.COMPENSATED), UNDO, "undone"),
        (an_action(_S.COMPENSATING), UNDO, "being_undone"),
        (an_action(_S.EXECUTING), UNDO, "under_way"),
        (an_action(_S.IN_DOUBT), UNDO, "in_doubt"),
        (an_action(_S.FAILED), UNDO, "never_happened"),
        (an_action(_S.SCHEDULED), UNDO, "not_sent"),
        (an_action(_S.SETTLED), UNDO, "settled"),
        (an_action(effect=EffectClass.READ), UNDO, "read"),
        (an_action(), None, "no_undo"),
        (an_action(), Undo(action="act_1", tool="t", problem="no id"), "not_built"),
        (an_action(), Undo(action="act_1", tool="t", arguments={}, until=99), "window"),
    ],
)
def test_what_cannot_be_undone_says_why(action: Action, undo: Undo | None, code: str) -> None:
    found = kept(action, undo, 100)
    assert found is not None
    assert (found.code, found.message.startswith("act_1 ")) == (code, True)


def test_nothing_else_stands_in_the_way() -> None:
    open_still = Undo(action="act_1", tool="t", arguments={}, until=100)
    for state in (_S.SUCCEEDED, _S.RETRY, _S.PENDING_SETTLEMENT, _S.COMPENSATION_FAILED):
        assert kept(an_action(state), open_still, 100) is None


actions = st.builds(
    an_action,
    st.sampled_from(ActionState),
    id=st.integers(0, 99).map("act_{:02}".format),
    ended_at=st.integers(0, 5),
    began_at=st.integers(0, 5),
    comp_of=st.sampled_from(["", "", "act_x"]),
    effect=st.sampled_from(EffectClass),
)
every = st.lists(
    st.tuples(actions, st.sampled_from([None, UNDO])), max_size=12, unique_by=lambda each: each[0].id
)


@given(every)
def test_a_plan_undoes_each_action_once_the_last_first_and_loses_none_that_happened(
    found: list[tuple[Action, Undo | None]],
) -> None:
    planned = plan(found, 10)
    undone, kept_ids = [each.id for each in planned.undone], [each.action for each in planned.kept]
    together = [*undone, *kept_ids, *(each.id for each in planned.awaited)]
    assert len(set(together)) == len(together)
    ends = [each.ended_at or 1 << 62 for each in planned.undone]
    assert ends == sorted(ends, reverse=True)
    for action, undo in found:
        if action.comp_of:
            assert action.id not in together
        elif action.state in AWAITED:
            assert action.id not in [*undone, *kept_ids]
        elif action.state is _S.SUCCEEDED and action.effect is not EffectClass.READ:
            assert action.id in (kept_ids if undo is None else undone)


def test_an_undo_that_failed_is_left_to_a_person_where_its_run_is_undone() -> None:
    planned = plan([(an_action(_S.COMPENSATION_FAILED), UNDO)], 10)
    assert (planned.undone, [each.code for each in planned.kept]) == ((), ["undo_failed"])
    assert kept(an_action(_S.COMPENSATION_FAILED), UNDO, 10) is None


@given(st.lists(actions, max_size=12, unique_by=lambda each: each.id))
def test_the_order_does_not_depend_on_how_it_is_asked(found: list[Action]) -> None:
    assert in_order(found) == in_order(list(reversed(found)))


@given(st.lists(actions, max_size=12, unique_by=lambda each: each.id), st.data())
def test_that_undos_begin_does_not_change_their_order(found: list[Action], data: st.DataObject) -> None:
    landed = [replace(each, state=_S.SUCCEEDED, ended_at=each.ended_at or 1) for each in found]
    may_land = [data.draw(st.booleans()) for _ in found]
    sent = [replace(each, state=_S.RETRY, ended_at=0) for each in landed]
    done = in_order([two[which] for which, *two in zip(may_land, landed, sent, strict=True)])
    begun = [advance(each, _S.COMPENSATING, now=2) for each in done]
    assert in_order(begun) == begun


def test_what_may_still_land_has_not_ended_until_it_is_undone() -> None:
    begun = advance(an_action(_S.RETRY, lease_until=50), _S.COMPENSATING, now=3)
    assert begun.ended_at == 0
    assert advance(begun, _S.COMPENSATED, now=60).ended_at == 60
    assert advance(begun, _S.IN_DOUBT, now=60).ended_at == 60
    late = advance(an_action(_S.EXECUTING), _S.COMPENSATING, now=3)
    assert advance(late, _S.COMPENSATED, now=60).ended_at == late.ended_at == 3


def test_an_undo_never_overtakes_a_call_that_may_still_land() -> None:
    assert begins_at(an_action(_S.RETRY, lease_until=50), 10) == 50
    assert begins_at(an_action(_S.RETRY, lease_until=5), 10) == 10
    assert begins_at(an_action(lease_until=50), 10) == 0


def test_only_what_is_safe_to_repeat_is_sent_again_later_and_later_and_not_for_ever() -> None:
    first = after_no_answer(an_action(attempt=1), now=0)
    assert first == (_S.RETRY, 1 * SECOND)
    assert after_no_answer(an_action(attempt=3), now=0) == (_S.RETRY, 4 * SECOND)
    assert after_no_answer(an_action(attempt=TRIES), now=0) == (_S.IN_DOUBT, 0)
    assert after_no_answer(an_action(attempt=1, effect=EffectClass.ONCE), now=0) == (_S.IN_DOUBT, 0)
    assert after_unsent(an_action(attempt=1, effect=EffectClass.ONCE), now=0) == 1 * SECOND
    assert after_unsent(an_action(attempt=TRIES), now=0) == 0
    assert after_unsent(an_action(attempt=TRIES - 1), now=0) <= 5 * MINUTE
    assert effect_of(EffectClass.READ) is EffectClass.IDEMPOTENT
    assert effect_of(EffectClass.ONCE) is EffectClass.ONCE
