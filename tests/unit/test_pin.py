"""A list of pinned items names them, or, where it cannot be read, pins everything (B4)."""

from __future__ import annotations

import pytest

from interlock.core.pin import LONGEST, pinned


@pytest.mark.parametrize(
    ("listed", "indices"),
    [("", ()), ("  ", ()), ("3", (3,)), ("0, 4-6", (0, 4, 5, 6)), ("7 - 8,7", (7, 8)), ("00012", (12,))],
)
def test_a_list_names_items(listed: str, indices: tuple[int, ...]) -> None:
    assert pinned(listed) == frozenset(indices)


@pytest.mark.parametrize("listed", ["x", "1,", "1,,2", "-1", "5-3", "1.5", "0-100000", "1;2", "1," * LONGEST])
def test_doubt_pins_everything(listed: str) -> None:
    assert pinned(listed) is None
