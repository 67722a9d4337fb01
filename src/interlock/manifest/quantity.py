"""Quantities as people write them, to the integers the core uses: seconds, shares, money, prices, sizes, µs.

Nothing passes through a binary float: a YAML number with a point arrives as a `Decimal`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import cast

from interlock.core.model import Json

_DURATION = re.compile(r"(?:(\d{1,4})w)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?")
_UNITS = (604_800, 86_400, 3_600, 60, 1)
_MILLIS = re.compile(r"(\d{1,9})ms")
_SIZE = re.compile(r"(\d{1,9})(KiB|MiB)?")
_SIZES = {"": 1, "KiB": 1_024, "MiB": 1_048_576}
_PERCENT = re.compile(r"(\d{1,4})(?:\.(\d{1,2}))?\s?%")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LARGEST = Decimal(1_000_000_000)


def seconds(value: object) -> int:
    """Return a duration such as `15m`, `24h`, `90d` or `1h30m` in seconds."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError("expected a duration such as 30s, 15m, 24h or 90d")
    return sum(int(count) * unit for count, unit in zip(match.groups(), _UNITS, strict=True) if count)


def microseconds(value: object) -> int:
    """Return a duration such as `800ms`, `45s` or `2m` in microseconds."""
    match = _MILLIS.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return int(match[1]) * 1_000
    try:
        return seconds(value) * 1_000_000
    except ValueError:
        raise ValueError("expected a duration such as 800ms, 45s or 2m") from None


def byte_count(value: object) -> int:
    """Return a size such as `16KiB`, `1MiB` or a number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a size such as 16KiB, or a number of bytes")
    return int(match[1]) * _SIZES[match[2] or ""]


def basis_points(value: object) -> int:
    """Return a percentage such as `70%` or `99.5%` in basis points (70 % is 7000)."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a percentage such as 70%")
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def per_mille(value: object) -> int:
    """Return a percentage such as `70%` or `99.5%` per mille (70 % is 700)."""
    points = basis_points(value)
    if points % 10:
        raise ValueError("expected a percentage with at most one digit after the point")
    return points // 10


def share(value: object) -> int:
    """Return a share of one, such as `0.9` or `90%`, in basis points."""
    if isinstance(value, str):
        return _at_most_one(basis_points(value))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        points = Decimal(value) * 10_000
        if points == points.to_integral_value():
            return _at_most_one(int(points))
    raise ValueError("expected a share between 0 and 1, such as 0.9")


def _at_most_one(points: int) -> int:
    if not 0 <= points <= 10_000:
        raise ValueError("expected a share between 0 and 1, such as 0.9")
    return points


def nano_dollars(value: object) -> int:
    """Return an amount such as `2.00` in nano-dollars, exactly."""
    return _exactly(value, "an amount of money such as 2.00", digits=9)


def pico_per_token(value: object) -> int:
    """Return dollars per million tokens, such as `2.50`, in pico-dollars per token, exactly."""
    return _exactly(value, "dollars per million tokens such as 2.50", digits=6)


def pico_per_call(value: object) -> int:
    """Return dollars per call, such as `0.01`, in pico-dollars, exactly."""
    return _exactly(value, "dollars per call such as 0.01", digits=12)


def _exactly(value: object, expected: str, *, digits: int) -> int:
    """Return an amount as a whole number of its `digits`-th decimal place."""
    amount = _decimal(value)
    if amount is None or not amount.is_finite() or not 0 <= amount <= _LARGEST:
        raise ValueError(f"expected {expected}, between 0 and 1000000000")
    scaled = amount.scaleb(digits)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"expected {expected}, with at most {digits} digits after the point")
    return int(scaled)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str) or len(str(value)) > 40:
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        return None


def end_of_use(value: object) -> int:
    """Return the first moment (00:00 UTC) of a date such as `2027-06-30`, in microseconds."""
    try:
        day = date.fromisoformat(value if isinstance(value, str) and _DATE.fullmatch(value) else "")
    except ValueError:
        raise ValueError("expected a date such as 2027-06-30") from None
    return int(datetime.combine(day, time.min, tzinfo=UTC).timestamp()) * 1_000_000


def json_value(value: object) -> Json:
    """Return `value` as plain JSON: a `Decimal` becomes the float that JSON would hold."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): json_value(each) for key, each in cast("dict[object, object]", value).items()}
    if isinstance(value, list):
        return [json_value(each) for each in cast("list[object]", value)]
    return value
