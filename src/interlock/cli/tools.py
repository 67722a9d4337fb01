"""`interlock tools`: what the tool servers offer, how it is pinned, and accepting a tool that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.client import api, segment
from interlock.cli.files import json_object
from interlock.cli.moment import moment
from interlock.cli.options import Json
from interlock.cli.output import emit, line, notes, table
from interlock.cli.page import emit_page

app = typer.Typer(name="tools", help="Tools, their servers and their pins.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List every tool the manifest names: its tier, its effect and its pin; warn of its server."""
    with api() as client:
        found = client.get("/api/v1/tools").json()
        _warn(client.get("/api/v1/tools/servers").json()["items"])
    for each in found["items"]:
        for flaw in each["flaws"]:
            notes.print(f"[yellow]tool {line(each['tool'])}: its {line(flaw)}[/yellow]")
    columns = ("tool", "tier", "effect", "state", "undo")
    emit_page(found, table(found["items"], columns, spare=("undo",)), as_json)


@app.command()
def servers(as_json: Json = False) -> None:
    """List every tool server: whether it can be used, why not, and whether its credential ends soon."""
    with api() as client:
        found = client.get("/api/v1/tools/servers").json()
    rows = [
        {**each, "state": "connected" if each["connected"] else each["reason"]} for each in found["items"]
    ]
    columns = ("server", "protocol", "sessions", "state", "warning")
    emit_page(found, table(rows, columns, spare=("sessions", "protocol")), as_json)


@app.command()
def pins(as_json: Json = False) -> None:
    """List every pin; one whose two hashes differ is disabled until a person accepts the change."""
    with api() as client:
        found = client.get("/api/v1/tools/pins").json()
    rows = [
        {
            "tool": each["tool"],
            "registered": moment(each["registered_at"]),
            "pin": each["digest"][:12],
            "offered": (each["seen"] or "")[:12],
            "state": "changed, disabled" if each["drifted"] else "as registered",
        }
        for each in found["items"]
    ]
    columns = ("tool", "registered", "pin", "offered", "state")
    emit_page(found, table(rows, columns, spare=("registered", "offered")), as_json)


@app.command()
def accept(
    tool: Annotated[str, typer.Argument(help="The tool that changed, as server.tool.")],
    reason: Annotated[str, typer.Option(help="Why the change is all right; it is recorded.")],
    as_json: Json = False,
) -> None:
    """Register a tool as its server offers it now, and enable it again."""
    with api() as client:
        done = client.post(f"/api/v1/tools/{segment(tool)}/accept", json={"reason": reason}).json()
    emit(done, f"{line(done['tool'])} is registered anew as {line(done['digest'][:12])}.", as_json)


@app.command("exercise-undo")
def exercise_undo(
    tool: Annotated[str, typer.Argument(help="The tool whose undo is tried out, as server.tool.")],
    arguments: Annotated[
        Path | None, typer.Option(help="A JSON file: what the tool is given. Else as the manifest says.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try an undo out on the server that stands in; in production it counts only after that."""
    body = {} if arguments is None else {"arguments": json_object(arguments)}
    with api() as client:
        done = client.post(f"/api/v1/tools/{segment(tool)}/exercise", json=body).json()
    good = done["outcome"] == "undone"
    said = f"{line(done['tool'])} on {line(done['server'])}: "
    said += f"undone by {line(done['undo'])}, twice." if good else f"failed: {line(done['problem'])}"
    emit(done, said, as_json)
    if not good:
        raise typer.Exit(1)


def _warn(servers: list[dict[str, Any]]) -> None:
    """Say which servers cannot be used, and whose credential must be replaced."""
    for each in servers:
        if not each["connected"]:
            notes.print(f"[yellow]{line(each['server'])} cannot be used: {line(each['reason'])}[/yellow]")
        if each["warning"]:
            notes.print(f"[yellow]{line(each['warning'])}[/yellow]")
