"""Who is on duty: no gap, no overlap, in turn, through every change of the clocks (F2)."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.document.identity import Rotation
from interlock.core.duty import Rota, on_duty, shift_at, starts
from interlock.core.model import HOUR, SECOND

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Europe/Dublin",
)  # fmt: skip


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def a_rota(tz: str = "Europe/Berlin", first: str = "2026-01-05", hour: int = 9, days: int = 7) -> Rota:
    turn = Rotation(
        name="rota", members=("ann", "bob", "cat"), tz=tz, first=at(first), hour=hour, every=days * 86_400
    )
    return Rota(rotation=turn, zone=ZoneInfo(tz))


def test_members_take_turns_from_the_first_day_on() -> None:
    rota = a_rota()
    assert on_duty(rota, at("2026-01-05T08:00")) == "ann"  # 9:00 in Berlin
    assert on_duty(rota, at("2026-01-05T07:59:59")) == "cat"
    assert on_duty(rota, at("2026-01-12T08:00")) == "bob"
    assert on_duty(rota, at("2026-01-26T08:00")) == "ann"


def test_the_week_of_a_change_of_the_clocks_is_an_hour_shorter_or_longer_and_has_no_gap() -> None:
    rota = a_rota()
    assert starts(rota, 12) - starts(rota, 11) == 167 * HOUR
    assert starts(rota, 42) - starts(rota, 41) == 169 * HOUR
    assert on_duty(rota, at("2026-03-30T06:59:59")) != on_duty(rota, at("2026-03-30T07:00"))


def test_a_handover_in_a_repeated_hour_happens_at_its_first_occurrence() -> None:
    rota = a_rota(first="2026-10-18", hour=2)
    assert starts(rota, 1) == at("2026-10-25T00:00")
    assert [shift_at(rota, at(f"2026-10-25T0{hour}:30")) for hour in (0, 1, 2)] == [1, 1, 1]
    assert shift_at(rota, at("2026-10-24T23:59:59")) == 0


def test_a_handover_in_an_hour_that_is_skipped_happens_right_after_it() -> None:
    rota = a_rota(first="2026-03-22", hour=2)
    assert starts(rota, 1) == at("2026-03-29T01:00")
    assert shift_at(rota, at("2026-03-29T00:59:59")) == 0


def test_who_is_away_is_stood_in_for_by_the_next_in_turn() -> None:
    rota, now = a_rota(), at("2026-01-06")
    assert on_duty(rota, now, {"ann"}) == "bob"
    assert on_duty(rota, now, {"ann", "bob"}) == "cat"
    assert on_duty(rota, now, {"ann", "bob", "cat"}) == ""


@pytest.mark.parametrize("tz", ZONES)
@given(when=st.integers(at("2024-01-01"), at("2030-01-01")), hour=st.integers(0, 23), days=st.integers(1, 15))
def test_every_moment_belongs_to_exactly_one_shift(tz: str, when: int, hour: int, days: int) -> None:
    rota = a_rota(tz=tz, hour=hour, days=days)
    shift = shift_at(rota, when)
    assert starts(rota, shift) <= when < starts(rota, shift + 1)
    assert on_duty(rota, when) == rota.rotation.members[shift % 3]
