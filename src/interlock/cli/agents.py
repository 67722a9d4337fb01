"""`interlock agents`: who they are, who answers for them, how they get in and how they leave (H1, H3, H5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Json
from interlock.cli.output import console, emit, notes, safe, table
from interlock.cli.page import emit_page
from interlock.errors import UsageError
from interlock.sdk.agent_key import read_public_key, write_new_key

app = typer.Typer(name="agents", help="Agents as identities: enrol, suspend, retire.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The agent, as the manifest names it.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
_COLUMNS = ("name", "state", "owner", "backup", "workflows", "purpose")


@app.command("list")
def list_(
    state: Annotated[str, typer.Option(help="Only agents in this state: active, suspended or retired.")] = "",
    as_json: Json = False,
) -> None:
    """List the agents and who answers for each."""
    with api() as client:
        found = client.get("/api/v1/agents", params={"state": state}).json()
    rows = [{**each, "workflows": ", ".join(each["workflows"])} for each in found["items"]]
    emit_page(found, table(rows, _COLUMNS, spare=("backup",)), as_json)


@app.command()
def show(agent: Name, as_json: Json = False) -> None:
    """Show one agent: its ways in, its latest runs and, once retired, the proof of what was removed."""
    with api() as client:
        found = client.get(f"/api/v1/agents/{agent}").json()
    if as_json:
        emit(found, "", True)
        return
    for field in ("name", "state", "owner", "backup", "purpose"):
        console.print(f"[bold]{field}[/bold]  {safe(found[field] or '')}")
    console.print(f"[bold]workflows[/bold]  {safe(', '.join(found['workflows']))}")
    ways = [{**each, "expires": moment(each["expires_at"])} for each in found["enrolments"]]
    columns = ("id", "kind", "workflow", "state", "expires", "created_by")
    console.print(table(ways, columns, title="Ways in", spare=("created_by", "kind")))
    console.print(table(found["runs"], ("id", "workflow", "state"), title="Latest runs"))
    for way in ways:
        if way["kind"] == "key" and way["state"] in ("expiring", "expired"):
            notes.print(
                f"[yellow]The key {safe(way['id'])} is {safe(way['state'])}: enrol a new one.[/yellow]"
            )
    if found["proof"]:
        console.print(table(found["proof"]["checklist"], ("step", "count"), title="Proof of retirement"))


@app.command()
def enroll(
    agent: Name,
    key: Annotated[Path | None, typer.Option(help="Register this public key (JWK or PEM).")] = None,
    new_key: Annotated[
        Path | None, typer.Option(help="Make a key, keep the private half in this file, register the public.")
    ] = None,
    workflow: Annotated[str, typer.Option(help="A one-time code for this workflow only.")] = "",
    expires_in: Annotated[int | None, typer.Option(help="Seconds until the code or key ends.")] = None,
    as_json: Json = False,
) -> None:
    """Give an agent a way in: a one-time code, shown once, or the registration of its public key."""
    if key is not None and new_key is not None:
        raise UsageError("Give --key or --new-key, not both.")
    body: dict[str, Any] = {"workflow": workflow}
    if expires_in is not None:
        body["expires_in"] = expires_in
    if new_key is not None:
        body["jwk"] = write_new_key(new_key, agent)
    if key is not None:
        body["jwk"] = read_public_key(key)
    try:
        with api() as client:
            made = client.post(f"/api/v1/agents/{agent}/enrolments", json=body).json()
    except Exception:
        if new_key is not None:
            os.unlink(new_key)
        raise
    if as_json:
        emit(made, "", True)
    elif "code" in made:
        console.print(
            f"One-time code for {safe(agent)}, until {moment(made['expires_at'])}, shown this once:"
        )
        console.print(made["code"])
    else:
        console.print(
            f"The key {safe(made['thumbprint'])} speaks for {safe(agent)} until {moment(made['expires_at'])}."
        )
        if new_key is not None:
            console.print(f"Its private half is in {safe(str(new_key))}: it belongs to the agent alone.")


@app.command()
def suspend(agent: Name, reason: Reason, as_json: Json = False) -> None:
    """Stop an agent for now: its tokens stop counting at once, its runs end."""
    _move(agent, "suspend", reason, as_json)


@app.command()
def resume(agent: Name, reason: Reason, as_json: Json = False) -> None:
    """Let a suspended agent run again; its old tokens stay revoked."""
    _move(agent, "resume", reason, as_json)


@app.command()
def retire(agent: Name, reason: Reason, as_json: Json = False) -> None:
    """Retire an agent for good and print the proof. Its name is never used again."""
    with api() as client:
        done = client.post(f"/api/v1/agents/{agent}/retire", json={"reason": reason}).json()
    title = f"{agent} is retired"
    emit(done, table(done["proof"]["checklist"], ("step", "count"), title=safe(title)), as_json)


def _move(agent: str, verb: str, reason: str, as_json: bool) -> None:
    with api() as client:
        done = client.post(f"/api/v1/agents/{agent}/{verb}", json={"reason": reason}).json()
    emit(done, f"{safe(agent)} is {safe(done['state'])}.", as_json)
