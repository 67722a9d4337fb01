"""`interlock runs`: what ran, what is running, and ending it."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import console, emit, safe, table
from interlock.cli.page import emit_page

app = typer.Typer(name="runs", help="Runs of workflows: see them, end them.", no_args_is_help=True)

_COLUMNS = ("id", "workflow", "agent", "state", "started_by", "opened", "closed", "reason")
_SPARE = ("closed", "started_by", "agent", "reason")


@app.command("list")
def list_(
    workflow: Annotated[str, typer.Option(help="Only runs of this workflow.")] = "",
    agent: Annotated[str, typer.Option(help="Only runs of this agent.")] = "",
    state: Annotated[str, typer.Option(help="Only runs that are open, closed or ended.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    asked = {"workflow": workflow, "agent": agent, "state": state, "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/runs", params=asked).json()
    rows = [
        {**each, "opened": moment(each["opened_at"]), "closed": moment(each["closed_at"])}
        for each in found["items"]
    ]
    emit_page(found, table(rows, _COLUMNS, spare=_SPARE), as_json)


@app.command()
def show(run: Annotated[str, typer.Argument(help="The run's id.")], as_json: Json = False) -> None:
    """Show one run and how often it called each tool."""
    with api() as client:
        found = client.get(f"/api/v1/runs/{run}").json()
    if as_json:
        emit(found, "", True)
        return
    shown = {**found, "opened": moment(found["opened_at"]), "closed": moment(found["closed_at"])}
    for field in (*_COLUMNS, "labels"):
        console.print(f"[bold]{field.replace('_', ' ')}[/bold]  {safe(_said(shown[field]))}")
    if found["direct_models"]:
        console.print("[bold]models[/bold]  called by the program directly: its model calls are not governed")
    if found["ungoverned"]:
        console.print("[bold red]ungoverned[/bold red]  no request of the program reached the gateway")
    if found["partial"]:
        console.print(
            "[bold]partial[/bold]  model calls were cut down because of a budget: budget explain RUN"
        )
    judged = [{**each, "value": f"{each['value'] / 100:g} %"} for each in found["scores"]]
    if judged:
        console.print(table(judged, ("name", "value", "source", "evaluator", "key"), title="Scores"))
    calls = [{"tool": tool, "calls": count} for tool, count in found["calls"].items()]
    console.print(table(calls, ("tool", "calls"), title="Calls"))


@app.command()
def end(
    run: Annotated[str, typer.Argument(help="The run's id.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the run.")] = "",
    failed: Annotated[
        bool, typer.Option("--failed", help="It failed: what it did is undone where its workflow says so.")
    ] = False,
    as_json: Json = False,
) -> None:
    """End a run: its tokens stop counting at once, and what waits for a person is cancelled."""
    with api() as client:
        done = client.post(f"/api/v1/runs/{run}/end", json={"reason": reason, "failed": failed}).json()
    emit(done, f"{safe(run)} is {safe(done['state'])}.", as_json)


@app.command()
def score(
    run: Annotated[str, typer.Argument(help="The run's id.")],
    value: Annotated[str, typer.Argument(help="From 0 to 1.")],
    key: Annotated[str, typer.Option(help="What makes this score one: the same key twice counts once.")],
    source: Annotated[str, typer.Option(help="Who judges: a person, a check, a model.")],
    name: Annotated[str, typer.Option(help="What is judged; quality and confidence count.")] = "quality",
    evaluator: Annotated[str, typer.Option(help="The evaluator and its version.")] = "",
    as_json: Json = False,
) -> None:
    """Hand in the score of a run. Those of an open run count for its next writes, and when it ends."""
    body = {"key": key, "name": name, "value": value, "source": source, "evaluator": evaluator}
    with api() as client:
        done = client.post(f"/api/v1/runs/{run}/scores", json=body).json()
    counts = "counts when the run ends" if done["counts"] else "is kept and counts nothing"
    emit(done, safe(f"{done['name']} {done['value'] / 100:g} % {counts}."), as_json)


def _said(value: str | list[str] | None) -> str:
    return ", ".join(value) if isinstance(value, list) else value or ""
