"""`interlock rollback`: back to the code that was stable, and through what the other one did (E4)."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Group

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import emit, notes, safe, table
from interlock.cli.page import emit_page

app = typer.Typer(
    name="rollback", help="Roll back a workflow's code, and review what it did.", no_args_is_help=True
)


Review = Annotated[str, typer.Argument(help="The id of a state review, rev_….")]


@app.command()
def code(
    workflow: Annotated[str, typer.Argument(help="The workflow to roll back.")],
    reason: Annotated[str, typer.Option(help="What went wrong.")],
    to: Annotated[str, typer.Option(help="A deployment, dep_…; else the last stable one.")] = "",
    as_json: Json = False,
) -> None:
    """Go back to the last stable version of a workflow, and open the review of what this one did."""
    with api() as client:
        path, body = f"/api/v1/workflows/{workflow}/rollback", {"reason": reason, "to": to}
        done = client.post(path, json=body).json()
    review, stable = done["review"], done["stable"]
    owner, name = safe(review["owner"]), safe(review["id"])
    program = f" Its program was {safe(stable['code'])}." if stable["code"] else ""
    second = f"What was done since is for {owner} to decide: interlock rollback state {name}"
    emit(done, f"{_moved(workflow, done)}{program}\n{second}", as_json)


def _moved(workflow: str, done: dict[str, Any]) -> str:
    gone, stable = safe(done["withdrawn"]["id"]), safe(done["stable"]["id"])
    if done["acts"]:
        return f"{safe(workflow)} runs as it did in {stable} again; {gone} is withdrawn."
    asked = safe(", ".join(done["waits_for"]) or "somebody else")
    less = " What it may do less holds already." if done["narrowed"] else ""
    return (
        f"{gone} is withdrawn: nobody goes back to it. {stable} may do what it may not, so {asked} must "
        f"agree: interlock changes approve {safe(done['change'])}.{less} Until then "
        f"{safe(workflow)} runs on; interlock kill stops what must not run."
    )


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the reviews of what withdrawn versions did, newest first."""
    wanted = {"state": "all" if everything else "", "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/state-reviews", params=wanted).json()
    rows = [
        {**each, "opened": moment(each["opened_at"]), "state": "closed" if each["closed_at"] else "open"}
        for each in found["items"]
    ]
    columns = ("id", "workflow", "state", "owner", "opened", "reason")
    emit_page(found, table(rows, columns, spare=("reason", "opened")), as_json)


@app.command()
def state(review: Review, as_json: Json = False) -> None:
    """Show what a withdrawn version did, action by action, and what is left to decide."""
    with api() as client:
        found = client.get(f"/api/v1/state-reviews/{review}").json()
    emit(found, overview(found), as_json)


def overview(found: dict[str, Any]) -> Group:
    """Return a review as a person reads it: each action with its mark, and what is left to decide."""
    rows = [
        {**each, "decided": each["decision"]["decision"] if each["decision"] else ""}
        for each in found["actions"]
    ]
    listed = table(rows, ("action", "tool", "mark", "decided", "why"), spare=("why",))
    return Group(listed if rows else "Nothing was done since.", _stand(found))


@app.command()
def keep(
    review: Review,
    reason: Annotated[str, typer.Option(help="Why they may stand.")],
    actions: Annotated[list[str] | None, typer.Argument(help="The actions that stand, act_….")] = None,
    as_json: Json = False,
) -> None:
    """Let actions stand as they are; without any, close a review in which nothing is left to decide."""
    with api() as client:
        body = {"actions": actions or [], "reason": reason}
        done = client.post(f"/api/v1/state-reviews/{review}/keep", json=body).json()
    emit(done, _left(done), as_json)


@app.command()
def undo(
    review: Review,
    reason: Annotated[str, typer.Option(help="Why they are undone.")],
    actions: Annotated[list[str] | None, typer.Argument(help="The actions, act_….")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every action marked undoable that is not decided yet.")
    ] = False,
    plan: Annotated[str, typer.Option(help="The plan's hash, as it was shown; else you are asked.")] = "",
    as_json: Json = False,
) -> None:
    """Undo actions, newest first: the plan is shown, and its hash confirmed and signed."""
    path = f"/api/v1/state-reviews/{review}"
    with api() as client:
        chosen, found = list(actions or ()), client.get(path).json()
        if everything:
            open_ = [each for each in found["actions"] if each["action"] in found["left"]]
            chosen += [each["action"] for each in open_ if each["mark"] == "undoable"]
        shown = client.post(f"{path}/plan", json={"actions": chosen}).json()
        if not plan:
            said = {each["action"]: f"{each['tool']}, {each['mark']}" for each in found["actions"]}
            ordered = (f"{each} ({said.get(each, '')})" for each in shown["actions"])
            notes.print("Undone in this order: " + safe(", ".join(ordered)))
            typer.confirm(f"Plan {shown['digest'][:16]}…: undo these?", abort=True, err=True)
        body = {"actions": chosen, "plan": plan or shown["digest"], "reason": reason}
        done = client.post(f"{path}/undo", json=body).json()
    emit(done, _left(done), as_json)


def _left(done: dict[str, Any]) -> str:
    if done["closed_at"] and not done["left"]:
        return f"Everything is decided; {safe(done['id'])} is closed."
    return _stand(done)


def _stand(found: dict[str, Any]) -> str:
    """Return what is left to decide, and what keeps a review open of which everything is decided."""
    left, runs, name = len(found["left"]), found["open_runs"], safe(found["id"])
    if left:
        return f"{left} left to decide.{_open(runs)}"
    if found["closed_at"]:
        return "Everything is decided. The review is closed."
    close = f"interlock rollback keep {name} --reason TEXT"
    if not runs:
        return f"Everything is decided. Close the review: {close}"
    return f"Everything is decided.{_open(runs)} Then close the review: {close}"


def _open(runs: list[str]) -> str:
    if not runs:
        return ""
    some = (
        f"{len(runs)} runs of the withdrawn version are"
        if len(runs) > 1
        else "1 run of the withdrawn version is"
    )
    end = f"interlock runs end {safe(runs[0])} --reason TEXT"
    return f" {some} open and may still act: wait for the end, or {end}."
