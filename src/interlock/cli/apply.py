"""`interlock apply`: put a manifest in force. What widens waits for another person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.difference import lines, notes, waiting
from interlock.cli.files import ManifestPath, files
from interlock.cli.output import console, emit, safe
from interlock.cli.plan import text as plan_text
from interlock.settings import load


def apply(
    path: ManifestPath = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    admin: Annotated[
        str | None,
        typer.Option(help="Which administrator the first apply signs in, where several are named."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; implies --yes.")] = False,
) -> None:
    """Apply a manifest atomically: narrowing acts at once, widening waits for another person's approval."""
    sent = files(path)
    with api(creates=True) as client:
        base: int | None = None
        if not (yes or as_json):
            planned = client.post("/api/v1/manifest/plan", json={"files": sent}).json()
            console.print(plan_text(planned))
            if not planned["differences"]:
                return
            typer.confirm("Apply?", abort=True)
            base = planned["base"]
        body = {"files": sent, "base": base, "admin": admin}
        done = client.post("/api/v1/manifest/apply", json=body).json()
    emit(done, _text(done), as_json)


def _text(done: dict[str, Any]) -> str:
    shown = lines(done["differences"])
    if done["acted"]:
        labels = ", ".join(f"{safe(name)}@{version}" for name, version in done["workflows"].items())
        shown.append(f"Applied: version {done['version']} is in force" + (f" ({labels})." if labels else "."))
    elif not done["change"]:
        shown.append(f"Nothing to do: version {done['version']} is in force.")
    shown += notes(done["notes"])
    if done["change"]:
        shown.append(f"{_what(done)} {safe(done['change'])} for {waiting(done['waits_for'])}:")
        shown.append(f"  interlock changes approve {safe(done['change'])}")
    if done["token"]:
        shown.append(_first(done))
    return "\n".join(shown)


def _what(done: dict[str, Any]) -> str:
    if done["together"]:
        return "Nothing acts yet, for the narrowing cannot be taken out of the whole; it waits as"
    return "What widens waits as" if done["acted"] else "The change waits as"


def _first(done: dict[str, Any]) -> str:
    person, stored = safe(done["administrator"]), safe(str(load().data / "credentials.json"))
    return (
        f"{person} is the administrator and is signed in here ({stored}).\n"
        f"Their personal API token, shown this once: {safe(done['token'])}"
    )
