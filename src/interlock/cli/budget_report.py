"""`interlock budget report`: who spent how much, on what, for whom; as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.output import console, emit, notes, table
from interlock.errors import UsageError

_NUMBERS = ("calls", "input", "cached", "output", "reasoning", "uncertain", "unpriced", "degraded")
_SPARE = ("share", "cached", "output", "input")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def report(
    by: Annotated[str, typer.Option(help="What to tell apart, such as workflow,model,team,customer.")] = (
        "workflow,model"
    ),
    since: Annotated[str, typer.Option(help="From when: 7d, 24h, 2026-11-01.")] = "7d",
    until: Annotated[str, typer.Option(help="Until when; now where it is not said.")] = "",
    only: Annotated[list[str] | None, typer.Option(help="Only what has this value, as team=support.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, amounts in dollars.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, amounts in nano-dollars.")] = False,
) -> None:
    """Add up what model calls and paid tools cost, from the ledger, the dearest first."""
    asked = {"by": by, "since": since, "until": until, **dict(map(_pair, only or ()))}
    with api() as client:
        found = client.get("/api/v1/spend", params=asked).json()
    if as_csv:
        sys.stdout.write(_csv(found))
        return
    emit(found, _table(found), as_json)
    if not as_json:
        _total(found)


def dollars(nano: int, *, digits: int = 4) -> str:
    """Return an amount for people, rounded away from zero: something never looks like nothing."""
    units = -(-abs(nano) // 10 ** (9 - digits))
    return f"{'-' if nano < 0 else ''}${Decimal(units).scaleb(-digits):,.{digits}f}"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(
            f"--only is NAME=VALUE, not {text[:40]!r}.", hint="For instance: --only team=support"
        )
    return name, value


def _table(found: Mapping[str, Any]) -> object:
    by: Sequence[str] = found["by"]
    rows = [_row(each, by, found["total"]["cost"]) for each in found["items"]]
    return table(rows, (*by, "calls", "input", "cached", "output", "cost", "share", "note"), spare=_SPARE)


def _row(item: Mapping[str, Any], by: Iterable[str], total: int) -> dict[str, object]:
    cached = f"{100 * item['cached'] // item['input']} %" if item["input"] else ""
    remarks = [f"{item[name]} {name}" for name in ("uncertain", "unpriced", "degraded") if item[name]]
    return {
        **{name: item[name] or "(none)" for name in by},
        "calls": f"{item['calls']:,}",
        "input": f"{item['input']:,}",
        "cached": cached,
        "output": f"{item['output']:,}",
        "cost": dollars(item["cost"]),
        "share": f"{Decimal(100 * item['cost']) / total:.1f} %" if total else "",
        "note": ", ".join(remarks),
    }


def _total(found: Mapping[str, Any]) -> None:
    total = found["total"]
    console.print(
        f"{dollars(total['cost'])} in {total['calls']:,} calls, "
        f"{moment(found['since_at'])} to {moment(found['until_at'])}"
    )
    if total["unpriced"]:
        notes.print(f"[yellow]{total['unpriced']} calls had no price; their cost is not in here.[/yellow]")


def _csv(found: Mapping[str, Any]) -> str:
    """Return the report as CSV; text from outside cannot be a formula of the program that opens it."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow([*found["by"], *_NUMBERS, "cost_usd"])
    for item in found["items"]:
        group = [_plain(item[name]) for name in found["by"]]
        cost = f"{Decimal(item['cost']).scaleb(-9):.9f}"
        rows.writerow([*group, *(item[name] for name in _NUMBERS), cost])
    return written.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
