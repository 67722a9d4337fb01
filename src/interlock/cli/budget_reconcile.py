"""`interlock budget reconcile`: a provider's bill beside the ledger, and booking what differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.budget_report import dollars
from interlock.cli.client import api
from interlock.cli.output import console, emit, line, table
from interlock.errors import UsageError

_SAID = {
    "equal": "",
    "differs": "differs",
    "no_amount": "tokens differ; the bill has no amount",
    "not_billed": "not in the bill",
    "not_over": "the day is not over",
}
_SPARE = ("billed tokens", "ledger tokens")
_HINT = "Export usage or costs from the provider's console or API, as CSV or JSON."
_COLUMNS = ("day", "model", "billed", "ledger", "difference", "billed tokens", "ledger tokens", "note")


def reconcile(
    file: Annotated[Path, typer.Argument(help="The provider's export of usage or costs, CSV or JSON.")],
    provider: Annotated[
        str, typer.Option(help="Whose bill it is; the ledger's only provider if not said.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Book what differs, as further rows.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show what agrees as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold a provider's export against the ledger, per day and model; with --apply, book the differences."""
    body = {"export": _text(file), "provider": provider, "apply": apply}
    with api() as client:
        found = client.post("/api/v1/spend/reconcile", json=body).json()
    shown = [each for each in found["items"] if everything or each["standing"] != "equal"]
    emit(found, table(map(_row, shown), _COLUMNS, spare=_SPARE), as_json)
    if not as_json:
        console.print(_outcome(found, apply=apply))
    if any(each["standing"] == "differs" for each in found["items"]) and not apply:
        raise typer.Exit(1)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", hint=_HINT) from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text.", hint=_HINT) from None


def _row(item: Mapping[str, Any]) -> dict[str, object]:
    billed, recorded = item["billed"], item["recorded"]
    return {
        "day": item["day"],
        "model": item["model"],
        "billed": "" if billed["cost"] is None else dollars(billed["cost"]),
        "ledger": dollars(recorded["cost"] or 0),
        "difference": _signed(item["owed"]),
        "billed tokens": f"{billed['input']:,} + {billed['output']:,}",
        "ledger tokens": f"{recorded['input']:,} + {recorded['output']:,}",
        "note": _SAID[item["standing"]],
    }


def _signed(nano: int) -> str:
    return "" if not nano else f"{'+' if nano > 0 else ''}{dollars(nano)}"


def _outcome(found: Mapping[str, Any], *, apply: bool) -> str:
    owed = [each["owed"] for each in found["items"] if each["standing"] == "differs"]
    unsure = [each for each in found["items"] if each["standing"] not in {"differs", "equal"}]
    if not owed and unsure:
        lines = "1 line" if len(unsure) == 1 else f"{len(unsure)} lines"
        return f"There is nothing to book: {lines} cannot be judged, for the reason in the note."
    if not owed:
        return f"The ledger agrees with the bill of {line(found['provider'])}."
    lines = "1 line differs" if len(owed) == 1 else f"{len(owed)} lines differ"
    said = f"{lines}, by {_signed(sum(owed)) or '$0'} in all"
    if apply:
        return f"{said}; booked as {'one row' if found['booked'] == 1 else str(found['booked']) + ' rows'}."
    return f"{said}. To book them: the same command with --apply."
