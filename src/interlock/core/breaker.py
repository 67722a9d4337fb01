"""What the three states of a circuit breaker mean for one call (E1).

Closed: nothing. Half-open: whatever writes needs a person. Open: nothing passes. Only a person's
signature leads out of open; no time does (invariant 7).
"""

from __future__ import annotations

from interlock.core.model import BreakerState, RiskTier, Verdict


def stance(state: BreakerState, tier: RiskTier) -> Verdict:
    """Return the mildest verdict that a breaker in `state` leaves for a call of `tier`."""
    if state is BreakerState.OPEN:
        return Verdict.DENY
    if state is BreakerState.HALF_OPEN and tier is not RiskTier.READ_ONLY:
        return Verdict.REQUIRE_APPROVAL
    return Verdict.ALLOW


def may_move(current: BreakerState, following: BreakerState, *, signed: bool) -> bool:
    """Whether a breaker may change so; towards closed only with a person's signature."""
    if current is following:
        return False
    return signed or following is BreakerState.OPEN
