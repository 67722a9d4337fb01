"""`interlock rollback`: back to the code that was stable, and through what the other one did (E4)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.options import Json
from interlock.cli.output import emit, safe

app = typer.Typer(
    name="rollback", help="Roll back a workflow's code, and review what it did.", no_args_is_help=True
)


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
    return (
        f"{stable} may do what {gone} may not, so a second person must agree: interlock changes list. "
        "Until then nothing has moved; interlock kill stops what must not run."
    )
