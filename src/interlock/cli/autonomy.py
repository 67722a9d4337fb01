"""`interlock autonomy`: what a workflow has earned with a tool, in words, and who changes it (F3)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api, segment
from interlock.cli.moment import moment
from interlock.cli.options import Json
from interlock.cli.output import console, emit, line, safe, table
from interlock.cli.page import emit_page

app = typer.Typer(
    name="autonomy", help="What workflows earned, and lost, by their work.", no_args_is_help=True
)

Workflow = Annotated[str, typer.Argument(help="The workflow.")]
Tool = Annotated[str, typer.Argument(help="The tool, as server.tool.")]
Reason = Annotated[str, typer.Option(help="Why; kept with your name.")]
_WORDS = {
    "autonomous": "runs on its own",
    "async_review": "runs, reviewed daily",
    "sync_approval": "asks a person first",
}
_COLUMNS = ("workflow", "tool", "now", "evidence", "proposed")
_HISTORY = ("at", "workflow", "tool", "from", "to", "cause", "clean", "failed", "person", "reason")


@app.command()
def show(
    workflow: Annotated[str, typer.Argument(help="One workflow; none means all.")] = "",
    tool: Annotated[str, typer.Argument(help="One tool of it, with all its figures.")] = "",
    as_json: Json = False,
) -> None:
    """Show how much freedom a workflow has with a tool, and how far the proof for more has come."""
    if tool:
        _one(workflow, tool, as_json)
        return
    with api() as client:
        found = client.get("/api/v1/autonomy", params={"workflow": workflow}).json()
    rows = [
        {
            **each,
            "now": _WORDS[each["tier"]],
            "evidence": each["says"],
            "proposed": moment(each["proposed_at"]) if each["proposed_at"] else "",
        }
        for each in found["items"]
    ]
    emit_page(found, table(rows, _COLUMNS, spare=("proposed",)), as_json)


@app.command()
def propose(workflow: Workflow, tool: Tool, as_json: Json = False) -> None:
    """Put a promotion to the workflow's owner now; refused while the evidence does not suffice."""
    done = _post(workflow, tool, "propose", {})
    said = f"{done['owner']} may let {workflow} go on with {tool}: {_WORDS[done['next_tier']]}."
    emit(done, line(said), as_json)


@app.command()
def promote(workflow: Workflow, tool: Tool, reason: Reason, as_json: Json = False) -> None:
    """Give a workflow more freedom with a tool, as the person who answers for it. Needs the evidence."""
    done = _post(workflow, tool, "promote", {"reason": reason})
    emit(done, line(f"{workflow} with {tool}: {_WORDS[done['tier']]}."), as_json)


@app.command()
def demote(
    workflow: Workflow,
    tool: Tool,
    reason: Reason,
    severe: Annotated[
        bool, typer.Option("--severe", help="Harm that stays, or a broken rule: every call asks from now on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take one step of freedom back, or with --severe all of it."""
    done = _post(workflow, tool, "demote", {"reason": reason, "severe": severe})
    emit(done, line(f"{workflow} with {tool}: {_WORDS[done['tier']]}."), as_json)


@app.command()
def history(
    workflow: Annotated[str, typer.Argument(help="One workflow; none means all.")] = "",
    tool: Annotated[str, typer.Argument(help="One tool of it.")] = "",
    as_json: Json = False,
) -> None:
    """List what was earned and lost, the latest first: why, on which figures, and by whom."""
    with api() as client:
        found = client.get("/api/v1/autonomy/history", params={"workflow": workflow, "tool": tool}).json()
    rows = [
        {
            **each,
            "at": moment(each["at"]),
            "from": _WORDS[each["from_tier"]],
            "to": _WORDS[each["to_tier"]],
        }
        for each in found["items"]
    ]
    emit_page(found, table(rows, _HISTORY, spare=("reason", "person", "workflow")), as_json)


def _one(workflow: str, tool: str, as_json: bool) -> None:
    with api() as client:
        found = client.get(f"/api/v1/autonomy/{workflow}/{segment(tool)}").json()
    if as_json:
        emit(found, "", True)
        return
    for name, said in _figures(found):
        console.print(f"{name}  {safe(said)}")


def _figures(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the figures of one record, each with the words that a business owner reads it by."""
    said = [("now", _WORDS[found["tier"]]), ("evidence", found["says"])]
    if found["at_least"] is not None:
        told = f"at least {found['at_least']:.2%} correct, with 95 % confidence"
        goal = f"; more than {found['to_beat']:.0%} is to be proved" if found["to_beat"] else ""
        said.append(("proven", told + goal))
    said.append(("failures", str(found["failed"])))
    if found["recent_rate"] is not None:
        told = f"{found['recent_rate']:.2%} correct, over about {found['recent_weight']:.0f} recent trials"
        said.append(("lately", told))
    if found["alarm"]:
        limit = found["alarm"]["demotes_at"]
        said.append(("alarm", f"{found['alarm']['now']} of {limit}; at {limit} one step of freedom is lost"))
    said.append(("open yet", f"{found['waiting']} trials, to which somebody may still object"))
    if found["next_review_at"]:
        said.append(("next count", moment(found["next_review_at"])))
    if found["proposed_at"]:
        said.append(("proposed", f"{moment(found['proposed_at'])}, to {found['owner']}"))
    said.append(("a trial is", "all that one run did with the tool, once the time to object is over"))
    return said


def _post(workflow: str, tool: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    with api() as client:
        done: dict[str, Any] = client.post(
            f"/api/v1/autonomy/{workflow}/{segment(tool)}/{what}", json=body
        ).json()
    return done
