"""What a run has read follows it and is never cleared (H7, invariant 11)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.model import RiskTier, Source, Verdict
from interlock.core.taint import STRICT, collect, floor, tainted


@given(st.lists(st.sampled_from(list(Source))))
def test_labels_only_accumulate(sources: list[Source]) -> None:
    labels: frozenset[str] = frozenset()
    for source in sources:
        after = collect(labels, source)
        assert after >= labels | {source.value}
        labels = after
    assert labels == {source.value for source in sources}


def test_our_own_data_does_not_taint_and_anything_else_does() -> None:
    assert not tainted(frozenset())
    assert not tainted(frozenset({"internal"}))
    assert tainted(frozenset({"internal", "web"}))
    assert tainted(frozenset({"unknown"}))


def test_floors_apply_to_tainted_runs_only_and_only_where_switched_on() -> None:
    web = frozenset({"web"})
    assert floor(web, RiskTier.HIGH_BLAST_RADIUS, {}) is Verdict.ALLOW
    assert floor(frozenset(), RiskTier.HIGH_BLAST_RADIUS, STRICT) is Verdict.ALLOW
    assert floor(web, RiskTier.HIGH_BLAST_RADIUS, STRICT) is Verdict.DENY
    assert floor(web, RiskTier.LIMITED_WRITE, STRICT) is Verdict.REQUIRE_APPROVAL
    assert floor(web, RiskTier.READ_ONLY, STRICT) is Verdict.ALLOW
