"""Who is on duty: the members of a rota in turn, by the wall clock of its time zone (F2).

A shift begins on its day at the hour of the handover, at the first occurrence of an hour that a change of
the clocks repeats, and right after one that it skips. Shifts follow each other without gap or overlap.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from interlock.core.document.identity import Rotation
from interlock.core.model import SECOND

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time, made aware by the zone of the rota
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rota:
    """A declared rotation with its time zone."""

    rotation: Rotation
    zone: tzinfo


def starts(rota: Rota, shift: int) -> int:
    """Return when a shift begins, in microseconds; the first member's first shift is number 0."""
    turn = rota.rotation
    wall = _EPOCH + timedelta(microseconds=turn.first, hours=turn.hour, seconds=shift * turn.every)
    return (wall.replace(tzinfo=rota.zone) - _ZERO) // timedelta(microseconds=1)


def shift_at(rota: Rota, at: int) -> int:
    """Return the number of the shift that is under way at `at` (microseconds)."""
    turn = rota.rotation
    number = (at - turn.first - turn.hour * 3600 * SECOND) // (turn.every * SECOND)
    while starts(rota, number + 1) <= at:
        number += 1
    while starts(rota, number) > at:
        number -= 1
    return number


def on_duty(rota: Rota, at: int, absent: Collection[str] = ()) -> str:
    """Return who is on duty at `at`: the member whose turn it is, else the next who is not `absent`.

    "" where nobody is left.
    """
    members, number = rota.rotation.members, shift_at(rota, at)
    turns = (members[(number + step) % len(members)] for step in range(len(members)))
    return next((each for each in turns if each not in absent), "")
