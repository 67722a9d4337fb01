"""`interlock undo`: take back what an agent did, one action or a whole run; stop that, or do it by hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Json
from interlock.cli.output import emit, line

app = typer.Typer(name="undo", help="Take back what agents did.", no_args_is_help=True)

Action = Annotated[str, typer.Argument(help="The id of an action, act_….")]
Reason = Annotated[str, typer.Option(help="Why; it is recorded.")]


@app.command()
def show(action: Action, as_json: Json = False) -> None:
    """Show what undoes an action: whether it can be undone now, why not, and what became of its undo."""
    with api() as client:
        found = client.get(f"/api/v1/actions/{action}/undo").json()
    emit(found, _text(found), as_json)


@app.command("action")
def action_(action: Action, reason: Reason, as_json: Json = False) -> None:
    """Undo an action, or have a failed undo of it tried again."""
    _post(f"actions/{action}/undo", reason, as_json)


@app.command()
def run(
    run: Annotated[str, typer.Argument(help="The run's id.")], reason: Reason, as_json: Json = False
) -> None:
    """End a run and undo everything in it that can be undone, the last first; list what cannot, and why."""
    with api() as client:
        done = client.post(f"/api/v1/runs/{run}/undo", json={"reason": reason}).json()
    emit(done, _run(done), as_json)


@app.command()
def stop(action: Action, reason: Reason, as_json: Json = False) -> None:
    """Stop the undo of an action before it is sent: what the action did stands."""
    _post(f"actions/{action}/undo/stop", reason, as_json)


@app.command()
def done(action: Action, reason: Reason, as_json: Json = False) -> None:
    """Say that you undid by hand what an undo failed to take back."""
    _post(f"actions/{action}/undo/done", reason, as_json)


def _post(path: str, reason: str, as_json: bool) -> None:
    with api() as client:
        said = client.post(f"/api/v1/{path}", json={"reason": reason}).json()
    emit(said, _line(said), as_json)


def _line(said: dict[str, Any]) -> str:
    undo = said.get("undo")
    by = f" by {line(undo['action'])} ({line(undo['tool'])}), which is {line(undo['state'])}" if undo else ""
    return f"{line(said['action'])} is {line(said['state'])}{by}."


def _run(done: dict[str, Any]) -> str:
    shown = [f"{line(done['run'])} is {line(done['state'])} and is being undone, the last first:"]
    shown += [f"  undone   {_line(each)}" for each in done["undone"]] or ["  nothing can be undone"]
    shown += [
        f"  waits    {line(each['action'])} ({line(each['tool'])}) is {line(each['state'])}"
        for each in done["awaited"]
    ]
    shown += [f"  kept     {line(each['message'])}" for each in done["kept"]]
    shown += [f"  cancelled {line(each)}" for each in done["cancelled"]]
    return "\n".join(shown)


def _text(found: dict[str, Any]) -> str:
    shown = [f"{line(found['action'])} ({line(found['tool'])}) is {line(found['state'])}."]
    if found["undoable"]:
        until = f" until {moment(found['until'])}" if found["until"] else ""
        shown.append(
            f"  It can be undone{until} by {line(found['by']['tool'])} {line(found['by']['arguments'])}"
        )
    else:
        shown.append(f"  {line(found['why_not']['message'])}")
    if undo := found["undo"]:
        shown.append(
            f"  undo {line(undo['action'])}: {line(undo['tool'])} is {line(undo['state'])} as "
            f"{line(undo['identity'])}, sent {undo['attempts']} time(s)"
        )
        shown += [f"  {line(undo['error'])}"] if undo["error"] else []
    return "\n".join(shown)
