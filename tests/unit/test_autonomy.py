"""The tier sets the floor; only an earned autonomy tier lowers it (A2, F1)."""

from __future__ import annotations

import pytest

from interlock.core.autonomy import audited, chance_of, default, floor, higher, lower
from interlock.core.model import AutonomyTier, RiskTier, Verdict


def test_the_tier_sets_the_floor() -> None:
    assert [floor(tier, None) for tier in RiskTier] == [
        Verdict.ALLOW,
        Verdict.ALLOW_WITH_REVIEW,
        Verdict.REQUIRE_APPROVAL,
    ]


@pytest.mark.parametrize("earned", [None, *AutonomyTier])
def test_a_read_stays_allowed_whatever_was_earned_or_lost(earned: AutonomyTier | None) -> None:
    assert floor(RiskTier.READ_ONLY, earned) is Verdict.ALLOW


def test_what_was_earned_lowers_the_floor_and_what_was_lost_raises_it() -> None:
    high, limited = RiskTier.HIGH_BLAST_RADIUS, RiskTier.LIMITED_WRITE
    assert floor(high, AutonomyTier.AUTONOMOUS) is Verdict.ALLOW
    assert floor(high, AutonomyTier.ASYNC_REVIEW) is Verdict.ALLOW_WITH_REVIEW
    assert floor(limited, AutonomyTier.SYNC_APPROVAL) is Verdict.REQUIRE_APPROVAL


def test_a_tier_moves_by_one_step_and_stops_at_the_ends() -> None:
    free, reviewed, asked = AutonomyTier
    assert [lower(each) for each in AutonomyTier] == [reviewed, asked, asked]
    assert [higher(each) for each in AutonomyTier] == [free, free, reviewed]


@pytest.mark.parametrize("risk", RiskTier)
def test_nothing_earned_is_the_tier_that_the_risk_gives(risk: RiskTier) -> None:
    assert floor(risk, default(risk)) is floor(risk, None)


def test_an_audit_is_drawn_from_the_id_alone_and_about_as_often_as_it_should_be() -> None:
    drawn = [chance_of(f"act_{number}") for number in range(20_000)]
    assert drawn == [chance_of(f"act_{number}") for number in range(20_000)]
    assert {0 <= each < 10_000 for each in drawn} == {True}
    assert 0.025 < sum(audited(each, 300) for each in drawn) / len(drawn) < 0.035
    assert not audited(0, 0)
    assert audited(9_999, 10_000)
