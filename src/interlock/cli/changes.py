"""`interlock changes`: declared changes that widen authority and wait for a person."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.difference import lines, waiting
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import emit, safe, table
from interlock.cli.page import emit_page

app = typer.Typer(
    name="changes", help="Changes of the manifest that wait for a person.", no_args_is_help=True
)

Change = Annotated[str, typer.Argument(help="The id of a change, chg_….")]


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the changes that wait, newest first."""
    wanted = {"state": "" if everything else "waiting", "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/changes", params=wanted).json()
    rows = [{**each, "differences": len(each["differences"])} for each in found["items"]]
    columns = ("id", "state", "author", "differences", "decided_by", "reason")
    emit_page(found, table(rows, columns, spare=("decided_by", "reason")), as_json)


@app.command()
def show(change: Change, as_json: Json = False) -> None:
    """Show what a change does and who may decide it."""
    with api() as client:
        found = client.get(f"/api/v1/changes/{change}").json()
    emit(found, _text(found), as_json)


@app.command()
def approve(
    change: Change,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: Json = False,
) -> None:
    """Put a waiting change in force; its author cannot."""
    with api() as client:
        done = client.post(f"/api/v1/changes/{change}/approve", json={"reason": reason}).json()
    emit(done, f"Approved: version {done['version']} is in force.", as_json)


@app.command()
def reject(
    change: Change,
    reason: Annotated[str, typer.Option(help="Why; the author reads it.")],
    as_json: Json = False,
) -> None:
    """Turn a waiting change down; its author withdraws it this way."""
    with api() as client:
        done = client.post(f"/api/v1/changes/{change}/reject", json={"reason": reason}).json()
    emit(done, f"Rejected; version {done['version']} stays in force.", as_json)


def _text(found: dict[str, Any]) -> str:
    shown = [f"{safe(found['id'])} by {safe(found['author'])}, against version {found['base_version']}:"]
    shown += lines(found["differences"])
    if found["state"] == "waiting":
        return "\n".join([*shown, f"It waits for {waiting(found['waits_for'])}."])
    by = f" by {safe(found['decided_by'])}" if found["decided_by"] else ""
    reason = f": {safe(found['reason'])}" if found["reason"] else ""
    return "\n".join([*shown, f"It was {safe(found['state'])}{by}{reason}."])
