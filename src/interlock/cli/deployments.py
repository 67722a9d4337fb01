"""`interlock deployments`: which version of a workflow runs since when, and which one was stable (E4)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import emit, safe, table
from interlock.cli.page import emit_page

app = typer.Typer(
    name="deployments", help="Deployments: what runs since when, and what was stable.", no_args_is_help=True
)

_COLUMNS = ("id", "workflow", "since", "state", "code", "by")


@app.command("list")
def list_(
    workflow: Annotated[str, typer.Option(help="Only this workflow's.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List deployments, newest first."""
    wanted = {"workflow": workflow, "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/deployments", params=wanted).json()
    emit_page(found, table(map(_row, found["items"]), _COLUMNS, spare=("code", "by")), as_json)


@app.command()
def register(
    workflow: Annotated[str, typer.Argument(help="The workflow whose program is another from now on.")],
    code: Annotated[str, typer.Option(help="Names the build, such as a commit.")],
    as_json: Json = False,
) -> None:
    """Register a new build of a workflow's program."""
    with api() as client:
        done = client.post("/api/v1/deployments", json={"workflow": workflow, "code": code}).json()
    emit(done, f"{safe(done['id'])}: {safe(workflow)}@{done['version']} runs {safe(code)}.", as_json)


@app.command()
def stable(
    deployment: Annotated[str, typer.Argument(help="The id of a deployment, dep_….")],
    reason: Annotated[str, typer.Option(help="How you know.")],
    as_json: Json = False,
) -> None:
    """Say that a deployment was stable: a rollback goes back to the last such one."""
    with api() as client:
        done = client.post(f"/api/v1/deployments/{deployment}/stable", json={"reason": reason}).json()
    emit(done, f"{safe(done['id'])} is stable: a rollback can go back to it.", as_json)


def _row(each: dict[str, Any]) -> dict[str, Any]:
    state = "rolled back" if each["withdrawn_at"] else "stable" if each["stable_at"] else ""
    workflow = f"{each['workflow']}@{each['version']}"
    return {**each, "workflow": workflow, "since": moment(each["at"]), "state": state}
