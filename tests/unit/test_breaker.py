"""Three states; only a person's signature leads towards closed (E1, invariant 7)."""

from __future__ import annotations

import pytest

from interlock.core.breaker import may_move, stance
from interlock.core.model import BreakerState, RiskTier, Verdict


@pytest.mark.parametrize("tier", list(RiskTier))
def test_open_stops_everything_and_closed_nothing(tier: RiskTier) -> None:
    assert stance(BreakerState.OPEN, tier) is Verdict.DENY
    assert stance(BreakerState.CLOSED, tier) is Verdict.ALLOW


def test_half_open_lets_reads_pass_and_puts_a_person_before_the_rest() -> None:
    assert stance(BreakerState.HALF_OPEN, RiskTier.READ_ONLY) is Verdict.ALLOW
    assert stance(BreakerState.HALF_OPEN, RiskTier.LIMITED_WRITE) is Verdict.REQUIRE_APPROVAL
    assert stance(BreakerState.HALF_OPEN, RiskTier.HIGH_BLAST_RADIUS) is Verdict.REQUIRE_APPROVAL


@pytest.mark.parametrize("current", list(BreakerState))
def test_nothing_unsigned_leads_anywhere_but_to_open(current: BreakerState) -> None:
    reachable = {each for each in BreakerState if may_move(current, each, signed=False)}
    assert reachable == {BreakerState.OPEN} - {current}


def test_a_signature_leads_everywhere_else() -> None:
    for current in BreakerState:
        assert {each for each in BreakerState if may_move(current, each, signed=True)} == set(
            BreakerState
        ) - {current}
