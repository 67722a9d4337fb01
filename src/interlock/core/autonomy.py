"""The floor under a verdict: the risk tier sets it, only an earned autonomy tier moves it (A2, F1).

Of what runs without anybody looking, a share is audited all the same: or nothing would be left to lose a
tier on. Chance comes in as a value, made from the action's id, so that a replay draws the same.
"""

from __future__ import annotations

import hashlib

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


def default(tier: RiskTier) -> AutonomyTier:
    """Return where a tool of `tier` begins that nobody has earned or lost anything for."""
    return _DEFAULT[tier]


def lower(tier: AutonomyTier) -> AutonomyTier:
    """Return the tier below: exactly one step less free."""
    return _TIERS[min(tier.rank + 1, len(_TIERS) - 1)]


def higher(tier: AutonomyTier) -> AutonomyTier:
    """Return the tier above: exactly one step freer."""
    return _TIERS[max(tier.rank - 1, 0)]


def chance_of(action: str) -> int:
    """Return the draw of an action: a number from 0 to 9,999 that its id alone decides."""
    return int.from_bytes(hashlib.sha256(f"audit {action}".encode()).digest()[:8]) % 10_000


def audited(chance: int, share: int) -> bool:
    """Whether a draw falls into the `share` (basis points) that is audited."""
    return chance < share


_TIERS = tuple(AutonomyTier)
_DEFAULT = {risk: next(tier for tier in _TIERS if _EARNED[tier] is floor) for risk, floor in _FLOOR.items()}
