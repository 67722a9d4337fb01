"""A provider's own export of usage or costs, CSV or JSON, as totals per day and model (B8).

JSON is flattened to the columns that it would have as CSV, and each column that we know means one field,
whoever names it so. Rows of the same day and model add up. See docs/reference/usage-exports.md.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import cast

import msgspec

from interlock.core.model import Json
from interlock.core.reconciliation import Key, Totals, together
from interlock.errors import UsageError

Row = Mapping[str, Json]
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "day": ("start_time_iso", "starting_at", "usage_date_utc", "usage_date", "date", "day", "start_time"),
    "model": ("model", "model_version", "line_item"),
    "calls": ("num_model_requests", "num_requests", "requests"),
    "input": ("input_tokens", "prompt_tokens"),
    "uncached": ("uncached_input_tokens", "usage_input_tokens_no_cache"),
    "cached": (
        "input_cached_tokens", "cached_tokens", "cache_read_input_tokens", "usage_input_tokens_cache_read",
    ),
    "written_5m": (
        "cache_creation_ephemeral_5m_input_tokens", "cache_creation_input_tokens",
        "usage_input_tokens_cache_write_5m",
    ),
    "written_1h": ("cache_creation_ephemeral_1h_input_tokens", "usage_input_tokens_cache_write_1h"),
    "output": ("output_tokens", "completion_tokens", "usage_output_tokens"),
    "dollars": ("cost_usd", "amount_value", "cost"),
    "cents": ("amount",),
    "currency": ("amount_currency", "currency"),
}  # fmt: skip
"""Which columns mean a field. The first that a row has counts. `input` includes what came from a cache."""
_BILLION = Decimal(1_000_000_000)
_MOST = Decimal(10) ** 15


def read_export(text: str) -> dict[Key, Totals]:
    """Return what an export says per day and model. Raises `UsageError` for what cannot be read."""
    rows = list(_json_rows(text) if text.lstrip().startswith(("{", "[")) else _csv_rows(text))
    found = together(line for number, row in enumerate(rows, 1) for line in _line(row, number))
    if not found:
        raise UsageError(
            "The export has no row with a day and a model.", hint="See docs/reference/usage-exports.md."
        )
    return found


def _csv_rows(text: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        for row in reader:
            yield {(name or "").strip().lower(): said for name, said in row.items()}
    except csv.Error as error:
        raise UsageError(f"The export is not CSV: {error}.") from None


def _json_rows(text: str) -> Iterator[Row]:
    try:
        whole: Json = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"The export is not JSON: {error}.") from None
    pages = [_object(each) for each in _list(whole)] if isinstance(whole, list) else [_object(whole)]
    if pages and pages[-1].get("has_more"):
        raise UsageError(
            "The export is one page of several: what follows is missing.",
            hint="Ask for every page, and put them into one JSON list.",
        )
    for page in pages:
        for bucket in map(_object, _list(page.get("data", [page]))):
            for result in _list(bucket.get("results", [{}])):
                yield dict(_flat({**bucket, "results": None, **_object(result)}))


def _object(found: Json) -> dict[str, Json]:
    return cast(dict[str, Json], found) if isinstance(found, dict) else {}


def _list(found: Json) -> list[Json]:
    return cast(list[Json], found) if isinstance(found, list) else []


def _flat(holder: Row, path: str = "") -> Iterator[tuple[str, Json]]:
    for name, said in holder.items():
        if isinstance(said, dict):
            yield from _flat(cast(Row, said), f"{path}{name}_")
        else:
            yield f"{path}{name}".lower(), said


def _line(row: Row, number: int) -> Iterator[tuple[Key, Totals]]:
    """Yield what a row says, or nothing where it names no model: such a row is a total or another service."""
    model = str(_said(row, "model") or "").partition(",")[0].strip()
    day = _said(row, "day")
    if not model or day is None:
        return
    read = {name: _count(row, name, number) for name in ("uncached", "cached", "written_5m", "written_1h")}
    calls = _said(row, "calls")
    totals = Totals(
        calls=None if calls is None else _count(row, "calls", number),
        input=sum(read.values()) if _said(row, "input") is None else _count(row, "input", number),
        cached=read["cached"],
        output=_count(row, "output", number),
        cost=_cost(row, number),
    )
    yield (_day(day, number), model), totals


def _said(row: Row, field: str) -> Json:
    return next((row[name] for name in COLUMNS[field] if row.get(name) not in (None, "")), None)


def _count(row: Row, field: str, number: int) -> int:
    return int(_number(_said(row, field), number) or 0)


def _cost(row: Row, number: int) -> int | None:
    """Return the amount in nano-dollars, to the nearest; None where a row has none."""
    currency = str(_said(row, "currency") or "USD")
    if currency.upper() != "USD":
        raise UsageError(f"Row {number} is not in dollars but in {currency[:10]!r}.")
    dollars, cents = _number(_said(row, "dollars"), number), _number(_said(row, "cents"), number)
    if dollars is None and cents is not None:
        dollars = cents / 100
    return None if dollars is None else int((dollars * _BILLION).to_integral_value(ROUND_HALF_EVEN))


def _number(said: Json, number: int) -> Decimal | None:
    if said is None:
        return None
    try:
        found = Decimal(str(said).replace(",", ""))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or abs(found) > _MOST:
        raise UsageError(f"Row {number} has {str(said)[:40]!r} where a number belongs.")
    return found


def _day(said: Json, number: int) -> int:
    """Return the day, counted from 1970, of a date, an ISO 8601 time or seconds since 1970."""
    text = str(said).strip()
    try:
        if text.isdecimal():
            return int(text) // 86_400
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) // 86_400
    except (ValueError, OverflowError):
        raise UsageError(f"Row {number} has {text[:40]!r} where a day belongs.") from None
