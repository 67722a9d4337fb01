"""`interlock actions`: what agents did or want to do beyond reads; stop it, settle it, clear up a doubt."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import emit, line, table
from interlock.cli.page import emit_page

app = typer.Typer(name="actions", help="What agents did or want to do, beyond reads.", no_args_is_help=True)

Action = Annotated[str, typer.Argument(help="The id of an action, act_….")]
Reason = Annotated[str, typer.Option(help="Why; it is recorded.")]


@app.command("list")
def list_(
    run: Annotated[str, typer.Option(help="Of this run.")] = "",
    agent: Annotated[str, typer.Option(help="Of this agent.")] = "",
    workflow: Annotated[str, typer.Option(help="Of this workflow.")] = "",
    state: Annotated[str, typer.Option(help="In this state, such as in_doubt or scheduled.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List actions, newest first."""
    wanted = {"run": run, "agent": agent, "workflow": workflow, "state": state, "before": before}
    with api() as client:
        found = client.get("/api/v1/actions", params={**wanted, "limit": str(limit)}).json()
    rows = [{**each, "at": moment(each["created_at"])} for each in found["items"]]
    columns = ("id", "state", "tool", "agent", "at")
    emit_page(found, table(rows, columns, spare=("agent", "at")), as_json)


@app.command()
def show(action: Action, as_json: Json = False) -> None:
    """Show one action: its arguments, why it was decided so, and every move it made."""
    with api() as client:
        found = client.get(f"/api/v1/actions/{action}").json()
    emit(found, _text(found), as_json)


@app.command()
def cancel(action: Action, reason: Reason, as_json: Json = False) -> None:
    """Stop an action that was not sent: one that waits for a person, for its time or for input."""
    with api() as client:
        done = client.post(f"/api/v1/actions/{action}/cancel", json={"reason": reason}).json()
    emit(done, f"{line(done['id'])} is {line(done['state'])}.", as_json)


@app.command()
def resolve(
    action: Action,
    reason: Reason,
    happened: Annotated[
        bool, typer.Option("--happened/--did-not-happen", help="What you found at the tool server.")
    ],
    as_json: Json = False,
) -> None:
    """Say what became of an action that is in doubt. Nothing is sent again."""
    with api() as client:
        body = {"happened": happened, "reason": reason}
        done = client.post(f"/api/v1/actions/{action}/resolve", json=body).json()
    emit(done, f"{line(done['id'])} is {line(done['state'])}.", as_json)


@app.command()
def deliveries(
    action: Annotated[str, typer.Option(help="About this action.")] = "",
    workflow: Annotated[str, typer.Option(help="To this workflow's webhook.")] = "",
    state: Annotated[str, typer.Option(help="queued, delivered or given_up.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List which outcomes programs were told, are still to be told, and could not be told."""
    wanted = {"action": action, "workflow": workflow, "state": state, "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/actions/deliveries", params=wanted).json()
    rows = [{**each, "due": moment(each["due_at"])} for each in found["items"]]
    columns = ("id", "event", "workflow", "target", "state", "attempts", "due", "problem")
    emit_page(found, table(rows, columns, spare=("due", "workflow", "attempts", "target")), as_json)


@app.command()
def redeliver(
    delivery: Annotated[str, typer.Argument(help="The id of a delivery, dlv_….")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Have an outcome told again, where the workflow's webhook is now."""
    with api() as client:
        done = client.post(f"/api/v1/actions/deliveries/{delivery}/again", json={"reason": reason}).json()
    emit(done, f"{line(done['id'])} tells {line(done['event'])} again.", as_json)


@app.command()
def settle(
    action: Action,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    as_json: Json = False,
) -> None:
    """Confirm what is pending settlement: its second step is approved in your name, and carried out."""
    _second(action, "settle", reason, as_json)


@app.command()
def void(action: Action, reason: Reason, as_json: Json = False) -> None:
    """Take back what is pending settlement, before its deadline does."""
    _second(action, "void", reason, as_json)


@app.command("follow-up")
def follow_up(action: Action, reason: Reason, as_json: Json = False) -> None:
    """Have a follow-up asked for before its time, or again when nobody confirmed it in time."""
    _second(action, "follow-up", reason, as_json)


def _second(action: str, what: str, reason: str, as_json: bool) -> None:
    with api() as client:
        said = client.post(f"/api/v1/actions/{action}/{what}", json={"reason": reason}).json()
    emit(said, f"{line(said['action'])} is {line(said['state'])}{_step(said['second_step'])}.", as_json)


def _step(step: dict[str, Any]) -> str:
    """Say what makes an action final: when it is proposed, or where it stands."""
    if step["action"] is None:
        return f"; {line(step['tool'])} is proposed at {moment(step['due_at'])}"
    waits = step["state"] == "waiting_approval"
    how = f": interlock approvals approve {line(step['approval'])}" if waits else ""
    return f"; {line(step['action'])} ({line(step['tool'])}) is {line(step['state'])}{how}"


def _text(found: dict[str, Any]) -> str:
    shown = [
        f"{line(found['id'])} is {line(found['state'])}: {line(found['tool'])} ({line(found['tier'])})",
        f"  for {line(found['agent'])}, {line(found['workflow'])}, {line(found['run'])}",
        f"  arguments {line(found['arguments'])}",
        *(f"  {line(each['verdict'])}: {line(each['message'])}" for each in found["reasons"]),
    ]
    if found["follows"]:
        shown.append(f"  makes {line(found['follows'])} final")
    if found["second_step"]:
        shown.append(f"  second step{_step(found['second_step'])}")
    if found["error"]:
        shown.append(f"  {line(found['error'])}")
    if found.get("probe"):
        shown.append(f"  {probe_said(found['probe'])}")
    for move in found["moves"]:
        why = f" ({line(move['reason'], cap=200)})" if move["reason"] else ""
        shown.append(f"  {moment(move['at'])}  {line(move['to_state'])} by {line(move['by'])}{why}")
    return "\n".join(shown)


def probe_said(probe: dict[str, Any]) -> str:
    """Say whether a machine may still clear up a doubt, or only a person."""
    if not probe["run_open"]:
        return "Its probe is asked no more, for its run has ended: a person resolves it."
    return (
        f"Its probe is asked again at {moment(probe['due_at'])}; a person may say sooner what became of it."
    )
