"""The words of Interlock are ordered, frozen values."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.model import Pin, RiskTier, Verdict
from support.policies import a_request, decided


def test_verdicts_and_tiers_are_ranked_from_the_mildest() -> None:
    assert [verdict.rank for verdict in Verdict] == [0, 1, 2, 3]
    assert [tier.rank for tier in RiskTier] == [0, 1, 2]
    assert Verdict("deny") is Verdict.DENY
    assert f"{Verdict.ALLOW_WITH_REVIEW}" == "allow_with_review"


def test_the_stricter_of_two_verdicts_wins() -> None:
    for one in Verdict:
        for other in Verdict:
            assert one.strictest(other).rank == max(one.rank, other.rank)


def test_a_pin_drifts_when_something_else_is_seen() -> None:
    pin = Pin(tool="a.b", digest="one")
    assert not pin.drifted
    assert not replace(pin, seen="one").drifted
    assert replace(pin, seen="two").drifted


def test_a_decision_says_whether_it_denies_and_why() -> None:
    assert not decided().denied
    refused = decided("crm.nothing")
    assert refused.denied
    assert refused.reason is refused.reasons[0]


def test_values_of_the_call_path_are_compared_by_value_and_copied_with_changes() -> None:
    assert a_request(n=1) == a_request(n=1)
    assert replace(decided(), pin="other") != decided()
