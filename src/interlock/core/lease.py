"""How long a call may be under way, and when one must not begin any more (invariants 1 and 5).

Whoever sends a call holds a lease on its action, longer than the call may take. A process that was paused
after it took the lease sends nothing once what is left is short: another may have taken the action over by
then.
"""

from __future__ import annotations

from interlock.core.model import SECOND

GRACE = 5 * SECOND
"""Microseconds beyond its timeout in which a call may still land at the tool server."""

MARGIN = 1 * SECOND
"""What must be left of a lease when the call's own time is up, to write its outcome down."""


def length(timeout: int) -> int:
    """Return how long a lease lasts on a call that may take `timeout`; all in microseconds."""
    return timeout + GRACE


def time_to_send(*, lease: int, spent: int, timeout: int) -> int | None:
    """Return how long a call may take whose lease was taken `spent` ago, or None: then it must not begin.

    A call that would have less than half of its time is not begun: it would rather be cut off than answered.
    """
    left = min(timeout, lease - spent - MARGIN)
    return left if left > 0 and left * 2 >= timeout else None


def quiet_at(lease_until: int, timeout: int) -> int:
    """Return when a call whose outcome is not known can surely not land any more.

    A worker that was paused may begin at the last moment of its lease, and then takes its time.
    """
    return lease_until + timeout + GRACE
