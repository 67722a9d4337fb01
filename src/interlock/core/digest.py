"""When the next daily digest is due: at an hour of the local day (F1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from interlock.core.model import SECOND


def next_at(hour: int, zone: tzinfo, now: int) -> int:
    """Return the next time after `now` (microseconds) at which it is `hour` o'clock in `zone`.

    An hour that a change of the clocks skips is passed over to what its offset says; one that comes twice
    counts at its first time.
    """
    local = datetime.fromtimestamp(now // SECOND, UTC).astimezone(zone)
    due = local.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    while (found := round(due.timestamp()) * SECOND) <= now:
        due += timedelta(days=1)
    return found
