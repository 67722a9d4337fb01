"""`interlock plan`: what applying a manifest would do, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.difference import lines, notes, waiting
from interlock.cli.files import ManifestPath, files
from interlock.cli.output import emit, safe
from interlock.settings import load


def plan(
    path: ManifestPath = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option(help="Exit 0 when nothing would change, 2 when something would.")
    ] = False,
) -> None:
    """Show what would change: widened, narrowed or neither; what acts at once and what waits for whom."""
    settings = load()
    with api(settings, creates=not settings.database) as client:
        found = client.post("/api/v1/manifest/plan", json={"files": files(path)}).json()
    emit(found, text(found), as_json)
    if detailed_exitcode and found["differences"]:
        raise typer.Exit(2)


def text(found: dict[str, Any]) -> str:
    """Return a plan for people."""
    base = f"version {found['base']}" if found["base"] else "an empty store"
    shown = [f"Plan for {safe(found['environment'])}, against {base}:"]
    shown += lines(found["differences"]) or ["  nothing changes"]
    shown += [
        f"  {safe(name)} becomes {safe(name)}@{version}" for name, version in found["workflows"].items()
    ]
    shown += notes(found["notes"])
    shown += [_outcome(found)] if found["differences"] else []
    return "\n".join(shown)


def _outcome(found: dict[str, Any]) -> str:
    if not found["waits"]:
        return "Applying it acts at once."
    who = waiting(found["waits_for"])
    if found["together"]:
        return (
            f"Nothing acts at once, for the narrowing cannot be taken out of the whole; it waits for {who}."
        )
    at_once = "What narrows acts at once; the rest" if found["acts"] else "It"
    return f"{at_once} waits for {who}."
