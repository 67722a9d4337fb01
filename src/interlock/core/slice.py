"""What one process may spend of an account without asking: its slice (B8, invariant 4).

The account is shared and counts every slice as spent until it is settled or returned, so the sum of what
all processes do stays below the ceiling while each decides alone. Amounts are nano-dollars.
"""

from __future__ import annotations

from dataclasses import replace

from interlock.core.model import value

SHARE = 20
"""A slice is at most a twentieth of the limit ..."""
CALLS = 16
"""... and about as much as so many calls can cost, or twice those of the last round where those are more."""


@value
class Position:
    """An account as the database has it and one process's slice of it.

    `leased` is the sum of all slices, `amount` this one, of which `needed` must stay: it covers holds, and
    costs that are not written yet. Nothing above `ceiling` is leased; None: in shadow mode anything is.
    """

    spent: int
    leased: int
    ceiling: int | None
    amount: int = 0
    needed: int = 0

    @property
    def room(self) -> int | None:
        """What can still be leased by anybody."""
        return None if self.ceiling is None else self.ceiling - self.spent - self.leased

    def grown(self, by: int) -> Position:
        """Return it with a larger slice, or a smaller one."""
        return Position(
            spent=self.spent,
            leased=self.leased + by,
            ceiling=self.ceiling,
            amount=self.amount + by,
            needed=self.needed,
        )


def settled(position: Position, cost: int) -> Position:
    """Return it after calls of this slice cost so much. What passes the slice is charged all the same."""
    used = min(cost, position.amount)
    return replace(position.grown(-used), spent=position.spent + cost)


def covering(position: Position, most: int) -> Position | None:
    """Return it with a slice that covers a hold of `most` as well, or None when there is no room for it."""
    needed = position.needed + most
    short = max(0, needed - position.amount)
    room = position.room
    if room is not None and short > room:
        return None
    return replace(position.grown(short), needed=needed)


def topped_up(position: Position, *, limit: int, most: int, processes: int, calls: int = 0) -> Position:
    """Return it with enough for the calls to come, of `most` each, if there is plenty of room.

    As many are to be expected as the last round had, `calls`; with twice that, none waits for the next round.
    Where `processes` could not all have so much, nothing is added: then each hold is leased by itself, which
    is exact to the last unit.
    """
    wish = min(limit // SHARE, max(CALLS, 2 * calls) * most) - (position.amount - position.needed)
    room = position.room
    if wish <= 0:
        return position
    if processes == 1:
        return position.grown(wish if room is None else max(0, min(wish, room)))
    return position.grown(wish) if room is None or room >= processes * wish else position


def returned(position: Position) -> Position:
    """Return it without what the slice does not need."""
    return position.grown(min(0, position.needed - position.amount))


def tight(position: Position, *, limit: int, processes: int) -> bool:
    """Whether so many processes could not all have a slice: then none keeps what it does not need."""
    room = position.room
    return processes > 1 and room is not None and room < processes * (limit // SHARE)
