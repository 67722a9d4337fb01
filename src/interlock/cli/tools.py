"""`interlock tools`: what the tool servers offer, how it is pinned, and accepting a tool that changed."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.output import emit, line, notes, safe, table

app = typer.Typer(name="tools", help="Tools, their servers and their pins.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List every tool the manifest names: its tier, its pin and what its server says."""
    with api() as client:
        found = client.get("/api/v1/tools").json()
    for warning in found["warnings"]:
        notes.print(f"interlock: {safe(warning)}")
    lost = [each for each in found["servers"] if not each["connected"]]
    if lost and not as_json:
        emit(lost, table(lost, ("server", "reason"), title="Servers that cannot be used"), False)
    emit(found, table(found["tools"], ("tool", "tier", "effect", "state")), as_json)


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
        for each in found["pins"]
    ]
    emit(found, table(rows, ("tool", "registered", "pin", "offered", "state")), as_json)


@app.command()
def accept(
    tool: Annotated[str, typer.Argument(help="The tool that changed, as server.tool.")],
    reason: Annotated[str, typer.Option(help="Why the change is all right; it is recorded.")],
    as_json: Json = False,
) -> None:
    """Register a tool as its server offers it now, and enable it again."""
    with api() as client:
        done = client.post(f"/api/v1/tools/{tool}/accept", json={"reason": reason}).json()
    emit(done, f"{line(done['tool'])} is registered anew as {line(done['digest'][:12])}.", as_json)
