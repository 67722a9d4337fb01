"""Moments as people read them: microseconds since the epoch to UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: int | None) -> str:
    """Return a moment such as 2026-11-22 15:04:05Z; nothing for none."""
    if not at:
        return ""
    return f"{datetime.fromtimestamp(at / 1_000_000, tz=UTC):%Y-%m-%d %H:%M:%SZ}"
