"""`interlock incidents`: what was halted, and a person's word on why when it is over (B5)."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import emit, safe, table
from interlock.cli.page import emit_page

app = typer.Typer(name="incidents", help="Incidents: work that was halted.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The id of an incident, inc_….")]
_COLUMNS = ("id", "state", "opened", "subject", "summary")


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the incidents that are open, newest first."""
    wanted = {"state": "" if everything else "open", "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/incidents", params=wanted).json()
    rows = [{**each, "opened": moment(each["opened_at"])} for each in found["items"]]
    emit_page(found, table(rows, _COLUMNS, spare=("subject", "opened")), as_json)


@app.command()
def show(incident: Name, as_json: Json = False) -> None:
    """Show one incident."""
    with api() as client:
        found = client.get(f"/api/v1/incidents/{incident}").json()
    opened = {**found, "opened": moment(found["opened_at"]), "closed": moment(found["closed_at"])}
    names = (
        "id",
        "state",
        "kind",
        "subject",
        "summary",
        "opened",
        "opened_by",
        "closed",
        "closed_by",
        "reason",
    )
    text = "\n".join(f"{name.replace('_', ' ')}  {safe(opened[name])}" for name in names if opened[name])
    emit(found, text, as_json)


@app.command()
def close(
    incident: Name,
    reason: Annotated[str, typer.Option(help="What it was, and why it is over.")],
    as_json: Json = False,
) -> None:
    """Close an incident."""
    with api() as client:
        done = client.post(f"/api/v1/incidents/{incident}/close", json={"reason": reason}).json()
    emit(done, f"{safe(done['id'])} is closed.", as_json)
