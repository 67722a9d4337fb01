"""An entry of the blast-radius map: when it is complete, and that it does not change (A1)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from support.policies import a_tool


@pytest.mark.parametrize("missing", ["tier", "effect", "blast_radius"])
def test_a_map_entry_is_complete_with_tier_effect_and_blast_radius(missing: str) -> None:
    assert a_tool().mapped
    assert not replace(a_tool(), **{missing: None}).mapped


def test_a_document_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        a_tool().name = "other"  # type: ignore[misc]
