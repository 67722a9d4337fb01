"""The life of a hold: money set aside for one attempt at a call, given back exactly once (B8).

A hold is settled at what the call cost, released when nothing was sent, or expired when the process that
held it died: then it counts in full until the truth is known, which a late settlement or release brings.
Every other move finds the hold ended and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from interlock.core.model import value


class HoldState(StrEnum):
    """Where a hold stands."""

    ACTIVE = "active"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


@value
class Hold:
    """What one attempt set aside, in nano-dollars: `exp` is expected, `most` cannot be passed."""

    exp: int
    most: int
    state: HoldState = HoldState.ACTIVE


@value
class Move:
    """A hold after a move, and what the move adds to each of its accounts."""

    hold: Hold
    spent: int
    held_exp: int
    held_max: int


def end(hold: Hold, state: HoldState, cost: int = 0) -> Move | None:
    """Return what it means to end `hold` so, or None when it has ended so far that this changes nothing.

    `cost` is read for a settlement alone. Raises `ValueError` for a cost below zero.
    """
    if cost < 0:
        raise ValueError("a cost is never negative")
    if hold.state is HoldState.ACTIVE and state is not HoldState.ACTIVE:
        charged = {HoldState.SETTLED: cost, HoldState.RELEASED: 0, HoldState.EXPIRED: hold.most}[state]
        return Move(hold=_now(hold, state), spent=charged, held_exp=-hold.exp, held_max=-hold.most)
    if hold.state is HoldState.EXPIRED and state in (HoldState.SETTLED, HoldState.RELEASED):
        charged = cost if state is HoldState.SETTLED else 0
        return Move(hold=_now(hold, state), spent=charged - hold.most, held_exp=0, held_max=0)
    return None


def _now(hold: Hold, state: HoldState) -> Hold:
    return Hold(exp=hold.exp, most=hold.most, state=state)
