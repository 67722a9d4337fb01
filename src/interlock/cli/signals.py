"""`interlock signals`: what agents' work looks like from outside, beginning with the size of contexts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.options import Json
from interlock.cli.output import console, emit, line, table
from interlock.cli.page import emit_page
from interlock.errors import UsageError

app = typer.Typer(
    name="signals", help="Signals: how large the contexts of model calls are.", no_args_is_help=True
)

_NONE = "None: no workflow called a model here yet."
_SIZES = ("calls", "mean", "p95", "p99", "of_window")


@app.callback()
def _signals() -> None:
    """Keep `context` a command of its own while it is the only one."""


@app.command()
def context(
    workflow: Annotated[str, typer.Argument(help="The workflow; none lists all.")] = "",
    run: Annotated[str, typer.Option(help="One run instead.")] = "",
    as_json: Json = False,
) -> None:
    """Show context sizes in tokens: mean, 95th and 99th percentile, and how much of the window is used.

    A deployment is one version of a workflow. Growth is said where its contexts rose by a fifth over the best
    of the five deployments before.
    """
    if workflow and run:
        raise UsageError("Give a workflow or --run, not both.")
    path = f"/api/v1/runs/{run}/context" if run else f"/api/v1/signals/context/{workflow}".rstrip("/")
    with api() as client:
        found = client.get(path).json()
    if as_json:
        emit(found, "", True)
    elif run:
        console.print(table(map(_row, found["items"]), ("model", *_SIZES)))
    elif workflow:
        console.print(table(map(_row, found["deployments"]), ("deployment", *_SIZES)))
        console.print(table(map(_row, found["models"]), ("deployment", "model", *_SIZES), title="By model"))
        console.print(_grown(found["growth"]))
    else:
        rows = [{**_row(each), "growth": _grown(each["growth"])} for each in found["items"]]
        emit_page(found, table(rows, ("deployment", *_SIZES, "growth")), as_json, none=_NONE)


def _row(reading: dict[str, Any]) -> dict[str, Any]:
    share = reading["utilisation"]
    return {**reading, "of_window": None if share is None else f"{share / 10:.1f} %"}


def _grown(growth: dict[str, Any] | None) -> str:
    if growth is None:
        return ""
    return f"{growth['measure']} +{growth['rise'] / 10:.0f} % since {line(growth['since'])}"
