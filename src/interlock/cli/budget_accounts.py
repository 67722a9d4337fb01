"""`interlock budget show`, `history` and `explain`: how budgets stand, stood, and what a run was charged."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any

import typer

from interlock.cli.budget_report import dollars
from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Limit
from interlock.cli.output import console, emit, line, table
from interlock.cli.page import emit_page
from interlock.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON, amounts in nano-dollars.")]
Kind = Annotated[str, typer.Option(help="Only accounts of a run, workflow, agent, team or organisation.")]
Name = Annotated[str, typer.Option(help="Only the accounts of this name.")]
_NOW = ("scope", "per", "state", "used", "limit", "spent", "held", "never past", "starts anew", "note")
_THEN = ("scope", "per", "since", "limit", "spent", "used", "note")
_CALLS = ("began", "model", "ending", "input", "output", "cost", "held", "note")
_NONE = "None: nothing counts against a budget here, or not against one that was asked for."


def show(kind: Kind = "", name: Name = "", as_json: Json = False) -> None:
    """Show how budgets stand now: spent, held for calls under way, and what is left of each window."""
    with api() as client:
        found = client.get("/api/v1/budgets", params={"kind": kind, "name": name}).json()
    shown = table(map(_standing, found["items"]), _NOW, spare=("starts anew", "never past", "held"))
    emit_page(found, shown, as_json, none=_NONE)


def history(
    kind: Kind = "", name: Name = "", limit: Limit = 50, before: Before = "", as_json: Json = False
) -> None:
    """Show what was spent in each window of budgets, the newest first."""
    asked = {"kind": kind, "name": name, "limit": limit, "before": before}
    with api() as client:
        found = client.get("/api/v1/budgets/history", params=asked).json()
    shown = table(map(_window, found["items"]), _THEN, spare=("used", "limit", "since"))
    emit_page(found, shown, as_json, none=_NONE)


def explain(run: Annotated[str, typer.Argument(help="The run's id.")], as_json: Json = False) -> None:
    """Say what a run was charged for, call by call, and how the accounts that paid for it stand."""
    with api() as client:
        found = client.get(f"/api/v1/budgets/runs/{run}").json()
    several = len({each["provider"] for each in found["calls"] if each["kind"] == "model"}) > 1
    calls = (_call(each, several=several) for each in found["calls"])
    emit(found, table(calls, _CALLS, spare=("held", "output", "input")), as_json)
    if as_json:
        return
    whose = f"{line(run)} of {line(found['workflow'])}, {found['state']}"
    console.print(f"{whose}: {dollars(found['cost'])} in {len(found['calls'])} calls")
    shown = table(
        map(_window, found["accounts"]), _THEN, title="Charged to", spare=("used", "limit", "since")
    )
    console.print(shown)


def uncharge(
    account: Annotated[str, typer.Argument(help="The account's id, from `budget show --json`.")],
    reason: Annotated[str, typer.Option(help="How it is known; kept in the audit log.")],
    keep: Annotated[str, typer.Option(help="Dollars that were truly spent, and stay charged.")] = "0",
    as_json: Json = False,
) -> None:
    """Take back what a crash charged to an account beyond what was truly spent."""
    with api() as client:
        asked = {"account": account, "keep": _nano(keep), "reason": reason}
        found = client.post("/api/v1/budgets/uncharge", json=asked).json()
    emit(found, f"{line(account)}: {dollars(found['spent'])} spent.", as_json)


def _nano(text: str) -> int:
    """Return dollars as nano-dollars, rounded up: what is uncertain stays charged."""
    try:
        return int((Decimal(text) * 10**9).to_integral_value(ROUND_CEILING))
    except (ArithmeticError, ValueError):
        raise UsageError(f"--keep is an amount in dollars, not {text[:40]!r}.") from None


def _standing(item: Mapping[str, Any]) -> dict[str, object]:
    notes = ["shadow"] if item["shadow"] else []
    return {
        **_scope(item),
        "state": item["state"],
        "used": f"{item['used'] / 10:.1f} %",
        "limit": dollars(item["limit"]),
        "spent": dollars(item["spent"]),
        "held": dollars(item["held"]),
        "never past": "" if item["shadow"] else dollars(item["ceiling"]),
        "starts anew": moment(item["resets_at"]) if item["resets_at"] else "",
        "note": ", ".join([*notes, *_charged(item)]),
    }


def _window(item: Mapping[str, Any]) -> dict[str, object]:
    limit = item["limit"]
    return {
        **_scope(item),
        "since": moment(item["starts_at"]) if item["starts_at"] else "",
        "limit": dollars(limit),
        "spent": dollars(item["spent"]),
        "used": f"{1000 * item['spent'] // limit / 10:.1f} %" if limit else "",
        "note": ", ".join(_charged(item)),
    }


def _scope(item: Mapping[str, Any]) -> dict[str, object]:
    return {"scope": f"{item['kind']} {item['name']}", "per": item["window"]}


def _charged(item: Mapping[str, Any]) -> list[str]:
    return [f"{dollars(item['charged'])} uncertain since a crash"] if item["charged"] else []


def _call(item: Mapping[str, Any], *, several: bool) -> dict[str, object]:
    """Return one call as a row; a model's provider is named where the run had `several`."""
    named = several and item["kind"] == "model"
    notes = [item["usage_source"]] if item["usage_source"] != "provider" else []
    notes += item["degraded"]
    notes += ["more than it could cost"] if item["cost"] > item["held_max"] and item["held_max"] else []
    context = sum(item[each] for each in ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h"))
    return {
        "began": moment(item["started_at"]),
        "model": f"{item['provider']}/{item['served_model']}" if named else item["served_model"],
        "ending": item["ending"],
        "input": f"{context:,}",
        "output": f"{item['output']:,}",
        "cost": dollars(item["cost"]),
        "held": dollars(item["held_max"]),
        "note": ", ".join(notes),
    }
