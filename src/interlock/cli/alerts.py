"""`interlock alerts`: what was raised, what to do about it, who was told and how that went (G1)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import console, emit, line, safe, table
from interlock.cli.page import emit_page

app = typer.Typer(name="alerts", help="Alerts, and who was told of them.", no_args_is_help=True)

_ENTRY = ("symptoms", "first_action", "escalate_when")
_TOLD = ("id", "name", "channel", "target", "state", "attempts", "problem")


@app.command("list")
def list_(
    kind: Annotated[str, typer.Option(help="Of this kind, such as budget.soft.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List what was raised, newest first."""
    with api() as client:
        found = client.get(
            "/api/v1/alerts", params={"kind": kind, "before": before, "limit": str(limit)}
        ).json()
    rows = [{**each, "at": moment(each["at"])} for each in found["items"]]
    columns = ("id", "at", "severity", "kind", "subject", "summary")
    emit_page(found, table(rows, columns, spare=("subject", "severity", "at")), as_json)


@app.command()
def show(
    event: Annotated[str, typer.Argument(help="The id of an alert event, evt_….")], as_json: Json = False
) -> None:
    """Show one event: what to do, and every attempt to tell somebody."""
    with api() as client:
        found = client.get(f"/api/v1/alerts/{event}").json()
    if as_json:
        emit(found, "", True)
        return
    console.print(f"[bold]{line(found['summary'])}[/bold]")
    _say(found, ("severity", "kind", "subject", "period", "incident"))
    _say({"told_by": found["facts"].get("told_by")}, ("told_by",))
    console.print(f"[bold]runbook[/bold]  {line(found['rule']['runbook'])}")
    _say(found["rule"]["entry"], _ENTRY)
    attempts = [
        {**each, "name": told["name"], "channel": told["channel"], "at": moment(each["at"])}
        for told in found["deliveries"]
        for each in told["log"]
    ]
    console.print(table(found["deliveries"], _TOLD, title="Told"))
    console.print(table(attempts, ("at", "name", "channel", "outcome", "detail"), title="Attempts"))


@app.command()
def deliveries(
    event: Annotated[str, typer.Option(help="Of this event.")] = "",
    state: Annotated[str, typer.Option(help="queued, delivered or given_up.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List who was told, who is still to be told, and who could not be."""
    wanted = {"event": event, "state": state, "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/alerts/deliveries", params=wanted).json()
    rows = [{**each, "due": moment(each["due_at"])} for each in found["items"]]
    columns = (*_TOLD[:6], "due", "problem")
    emit_page(found, table(rows, columns, spare=("due", "attempts", "target")), as_json)


@app.command()
def rules(as_json: Json = False) -> None:
    """List every alert with the runbook entry it rests on."""
    with api() as client:
        found = client.get("/api/v1/alerts/rules").json()
    rows = [
        {**each, "first_action": each["entry"]["first_action"], "retired": "yes" if each["retired"] else ""}
        for each in found["items"]
    ]
    emit_page(found, table(rows, ("kind", "severity", "runbook", "first_action", "retired")), as_json)


def _say(found: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if found[name]:
            console.print(f"[bold]{name.replace('_', ' ')}[/bold]  {safe(found[name])}")
