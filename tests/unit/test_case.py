"""A decision while it is being made: until more is known, a call is of the widest kind (A5)."""

from __future__ import annotations

from interlock.core.case import Case
from interlock.core.model import EffectClass, Gate, RiskTier
from support.policies import NOW, a_request, a_snapshot


def test_until_more_is_known_a_call_is_of_the_widest_kind() -> None:
    case = Case(a_request(), a_snapshot(), NOW)
    assert (case.gate, case.tier) == (Gate.TOKEN, RiskTier.HIGH_BLAST_RADIUS)
    assert case.effect is EffectClass.ONCE
