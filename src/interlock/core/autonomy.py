"""The floor under a verdict: the risk tier sets it, only an earned autonomy tier moves it (A2, F1)."""

from __future__ import annotations

from interlock.core.model import AutonomyTier, RiskTier, Verdict

_FLOOR = {
    RiskTier.READ_ONLY: Verdict.ALLOW,
    RiskTier.LIMITED_WRITE: Verdict.ALLOW_WITH_REVIEW,
    RiskTier.HIGH_BLAST_RADIUS: Verdict.REQUIRE_APPROVAL,
}
_EARNED = {
    AutonomyTier.AUTONOMOUS: Verdict.ALLOW,
    AutonomyTier.ASYNC_REVIEW: Verdict.ALLOW_WITH_REVIEW,
    AutonomyTier.SYNC_APPROVAL: Verdict.REQUIRE_APPROVAL,
}


def floor(tier: RiskTier, earned: AutonomyTier | None) -> Verdict:
    """Return the mildest verdict for a call of `tier` by a workflow that has earned `earned` for the tool.

    Nothing earned leaves the tier's own floor. A read stays allowed whatever was lost.
    """
    if earned is None or tier is RiskTier.READ_ONLY:
        return _FLOOR[tier]
    return _EARNED[earned]
