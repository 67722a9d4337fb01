"""What a kill stops, at each level, and whom it reaches (B5)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.kill import (
    EVERYTHING,
    KillLevel,
    KillOrder,
    KillScope,
    KillSource,
    belongs_to,
    refuses,
    scope_of,
    standing,
    strictest,
    subject_of,
)

CALL = belongs_to(environment="dev", agent="bot", workflow="orders", run="run_1", tool="shop.write")


def test_each_level_holds_what_the_milder_ones_hold() -> None:
    assert [each.rank for each in KillLevel] == [0, 1, 2]
    refused = [
        {reads for reads in (True, False) if refuses(level, reads=reads)}
        for level in (KillLevel.PAUSE, KillLevel.FREEZE, KillLevel.STOP)
    ]
    assert refused == [set(), {False}, {False, True}]


@pytest.mark.parametrize("scope", KillScope)
def test_a_subject_says_what_it_is_of(scope: KillScope) -> None:
    name = "" if scope is KillScope.ALL else "shop.write"
    assert scope_of(subject_of(scope, name)) == (scope, name)


@pytest.mark.parametrize("wrong", ["", "agent", "agent:", "all:x", "fleet:x", ":x"])
def test_what_is_no_subject_is_told(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"kill|KillScope"):
        scope_of(wrong)


def test_a_call_belongs_to_its_environment_agent_workflow_run_and_tool() -> None:
    named = {"environment:dev", "agent:bot", "workflow:orders", "run:run_1", "tool:shop.write"}
    assert set(CALL) == {EVERYTHING, *named}
    above = (("run_1", "refunds"), ("run_0", "desk"))
    child = belongs_to(environment="dev", agent="bot", workflow="orders", run="run_2", above=above)
    assert set(child) >= {"run:run_2", "run:run_1", "run:run_0", "workflow:refunds", "workflow:desk"}


@given(
    st.dictionaries(
        st.sampled_from([*CALL, "agent:other", "run:run_2", "tool:shop.read"]), st.sampled_from(KillLevel)
    )
)
def test_what_stands_against_a_call_is_of_it_and_the_strictest_comes_first(
    kills: dict[str, KillLevel],
) -> None:
    found = standing(kills, CALL)
    assert found.keys() == kills.keys() & set(CALL)
    ranks = [level.rank for level in found.values()]
    assert ranks == sorted(ranks, reverse=True)


@given(st.lists(st.tuples(st.sampled_from(CALL), st.sampled_from(KillLevel))))
def test_of_several_kills_of_one_subject_the_strictest_stands(kills: list[tuple[str, KillLevel]]) -> None:
    found = strictest(kills)
    assert found.keys() == {subject for subject, _ in kills}
    assert all(
        found[subject].rank >= level.rank and (subject, found[subject]) in kills for subject, level in kills
    )


@pytest.mark.parametrize(
    ("subject", "named"), [("*", "everything"), ("tool:shop.write", "the tool shop.write")]
)
def test_an_order_says_in_a_line_who_stopped_what_and_why(subject: str, named: str) -> None:
    order = KillOrder(
        id="kill_1",
        subject=subject,
        level=KillLevel.FREEZE,
        reason="odd refunds",
        by="maria",
        source=KillSource.API,
        at=1,
    )
    assert order.summary == f"maria pressed the kill switch (freeze) for {named}: odd refunds"
    halted = replace(order, source=KillSource.BUDGET, by="budget")
    assert halted.summary == f"A budget halted {named}: odd refunds"
