"""A digest is due at its owner's hour, every day once, whatever the clocks do (F1)."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.digest import next_at
from interlock.core.model import HOUR, SECOND

BERLIN = ZoneInfo("Europe/Berlin")


def at(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[misc]


def test_it_is_due_at_the_next_local_hour() -> None:
    assert next_at(8, BERLIN, at(2026, 1, 10, 6, 59)) == at(2026, 1, 10, 7)
    assert next_at(8, BERLIN, at(2026, 1, 10, 7)) == at(2026, 1, 11, 7)
    assert next_at(8, BERLIN, at(2026, 7, 10, 3)) == at(2026, 7, 10, 6)


def test_over_a_change_of_the_clocks_it_stays_at_the_local_hour() -> None:
    assert next_at(8, BERLIN, at(2026, 3, 28, 7)) == at(2026, 3, 29, 6)
    assert next_at(8, BERLIN, at(2026, 10, 24, 6)) == at(2026, 10, 25, 7)


@given(st.integers(0, 23), st.integers(at(2026, 1, 1), at(2027, 1, 1)))
def test_it_is_always_ahead_and_never_further_than_a_day_and_an_hour(hour: int, now: int) -> None:
    for zone in (UTC, BERLIN):
        assert 0 < next_at(hour, zone, now) - now <= 26 * HOUR
