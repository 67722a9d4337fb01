"""When a delivery that failed is tried again: later each time, scattered, and not for ever (G3).

Chance is not drawn here: each delivery is scattered by its own id, which was made at random.
"""

from __future__ import annotations

from hashlib import sha256

from interlock.core.model import DAY, MINUTE, SECOND

FIRST = 2 * SECOND
LONGEST = 15 * MINUTE
GIVE_UP = DAY


def pause(attempts: int, seed: str) -> int:
    """Return how long to wait after so many failed attempts: half to all of a doubling delay (µs)."""
    whole = min(LONGEST, FIRST << min(attempts - 1, 20))
    scatter = int.from_bytes(sha256(f"{seed}:{attempts}".encode()).digest()[:4]) / 0xFFFFFFFF
    return whole // 2 + int(whole // 2 * scatter)


def over(created_at: int, due_at: int) -> bool:
    """Whether the next attempt would come too late to be of use."""
    return due_at - created_at > GIVE_UP
