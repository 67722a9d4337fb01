"""What a run has read follows it: labels in, the mildest verdict out (H7, invariant 11).

Labels accumulate and are never cleared. Rules read them as `run.taints`. `floors` is the seam for
organisation-wide defaults; none are switched on here.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.core.model import RiskTier, Source, Verdict

TRUSTED = frozenset({Source.INTERNAL.value})

STRICT: Mapping[RiskTier, Verdict] = {
    RiskTier.LIMITED_WRITE: Verdict.REQUIRE_APPROVAL,
    RiskTier.HIGH_BLAST_RADIUS: Verdict.DENY,
}


def collect(labels: frozenset[str], source: Source) -> frozenset[str]:
    """Return the labels of a run after it has read something from `source`."""
    return labels if source.value in labels else labels | {source.value}


def tainted(labels: frozenset[str]) -> bool:
    """Whether the run has read anything that an outsider could have written."""
    return not labels <= TRUSTED


def floor(labels: frozenset[str], tier: RiskTier, floors: Mapping[RiskTier, Verdict]) -> Verdict:
    """Return the mildest verdict that the run's labels leave for a call of `tier`."""
    if not floors or not tainted(labels):
        return Verdict.ALLOW
    return floors.get(tier, Verdict.ALLOW)
