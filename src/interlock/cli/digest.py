"""`interlock digest`: what ran without asking a person first, and what you say to each of it (F1)."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import console, emit, line, safe, table
from interlock.cli.page import emit_page
from interlock.errors import UsageError

app = typer.Typer(name="digest", help="What ran without asking first, day by day.", no_args_is_help=True)

_MARKS = {"fine": "fine", "reverse": "reverse", "needs-rule": "needs_rule"}
_WHY = {"review": "reviewed afterwards", "audit": "audit"}
_COLUMNS = ("id", "owner", "made", "items", "opened")
_ITEMS = ("action", "tool", "workflow", "why", "state", "mark", "object_until")


@app.command("list")
def list_(
    owner: Annotated[str, typer.Option(help="Those of one person or team.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List digests, newest first."""
    with api() as client:
        found = client.get(
            "/api/v1/digests", params={"owner": owner, "before": before, "limit": str(limit)}
        ).json()
    rows = [
        {**each, "made": moment(each["made_at"]), "opened": each["opened_by"] or "not yet"}
        for each in found["items"]
    ]
    emit_page(found, table(rows, _COLUMNS), as_json)


@app.command()
def show(
    digest: Annotated[str, typer.Argument(help="A digest's id: interlock digest list.")],
    as_json: Json = False,
) -> None:
    """Show one digest item by item; that you saw yours is noted, for only then its calls can count."""
    with api() as client:
        found = client.get(f"/api/v1/digests/{digest}").json()
        if found["yours"] and not found["opened_at"]:
            client.post(f"/api/v1/digests/{digest}/opened", json={})
    if as_json:
        emit(found, "", True)
        return
    rows = [
        {**each, "why": _WHY[each["why"]], "object_until": moment(each["until"])} for each in found["calls"]
    ]
    console.print(table(rows, _ITEMS, title=safe(f"Of {found['owner']}"), spare=("workflow", "state")))


@app.command()
def mark(
    action: Annotated[str, typer.Argument(help="The action of an item.")],
    what: Annotated[str, typer.Argument(help="fine, reverse, or needs-rule.")],
    reason: Annotated[str, typer.Option(help="Why; needed for reverse and needs-rule.")] = "",
    severe: Annotated[
        bool, typer.Option("--severe", help="Harm that stays, or a broken rule: every call asks from now on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what an item was. A reversal is made at once, once only, and only within the item's window."""
    if what not in _MARKS:
        raise UsageError(f"An item is not {what[:40]!r}.", hint="fine, reverse or needs-rule")
    body = {"mark": _MARKS[what], "reason": reason, "severe": severe}
    with api() as client:
        done = client.post(f"/api/v1/digests/items/{action}/mark", json=body).json()
    emit(done, line(f"{done['action']}: {what}. It is {done['state'].replace('_', ' ')}."), as_json)
