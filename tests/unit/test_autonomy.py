"""The tier sets the floor; only an earned autonomy tier lowers it (A2, F1)."""

from __future__ import annotations

import pytest

from interlock.core.autonomy import floor
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
