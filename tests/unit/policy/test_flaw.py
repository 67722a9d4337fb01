"""Flaws know their place and the name that was meant."""

from __future__ import annotations

from interlock.core.policy.flaw import Flaw, Flaws, near


def test_collectors_of_deeper_places_share_one_list() -> None:
    flaws = Flaws()
    flaws.at("spec", "rules", 0).at("when").add("wrong", near="right")
    flaws.add("whole")
    assert flaws.found == [
        Flaw(path=("spec", "rules", 0, "when"), message="wrong", near="right"),
        Flaw(path=(), message="whole"),
    ]


def test_a_near_name_is_offered_only_when_it_is_near() -> None:
    assert near("contians", ["contains", "prefix"]) == "contains"
    assert near("zzz", ["contains", "prefix"]) is None
