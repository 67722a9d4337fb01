"""`interlock prices`: what models cost, what a newer list would change, and taking it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import console, emit, line, table
from interlock.cli.page import emit_page

app = typer.Typer(name="prices", help="What models cost.", no_args_is_help=True)

Latest = Annotated[
    bool, typer.Option("--latest", help="The list that is published now, not the installed one.")
]
_SHOWN = 30
_COLUMNS = ("price", "input", "cached", "output", "long input", "since", "source")


@app.command("list")
def list_(
    provider: Annotated[str, typer.Option(help="Only this provider.")] = "",
    model: Annotated[str, typer.Option(help="Only models whose name contains this.")] = "",
    limit: Limit = 50,
    before: Before = "",
    as_json: Json = False,
) -> None:
    """List the prices that hold now, in dollars per million tokens; the manifest's own among them."""
    asked = {"provider": provider, "model": model, "limit": limit, "before": before}
    with api() as client:
        found = client.get("/api/v1/prices", params=asked).json()
    shown = table(map(_row, found["items"]), _COLUMNS, spare=("source", "since"))
    emit_page(found, shown, as_json, none="None: no list and no manifest names a price of this name.")


@app.command()
def history(
    provider: Annotated[str, typer.Argument(help="The provider, as `prices list` names it.")],
    model: Annotated[str, typer.Argument(help="The model, as `prices list` names it.")],
    as_json: Json = False,
) -> None:
    """List every version of a model's prices, the newest first: what the ledger's price versions mean."""
    with api() as client:
        found = client.get(f"/api/v1/prices/{provider}/versions", params={"model": model}).json()
    emit_page(found, table(map(_row, found["items"]), _COLUMNS), as_json)


@app.command()
def diff(latest: Latest = False, as_json: Json = False) -> None:
    """Show what the price list of the installed genai-prices package would change. Changes nothing."""
    with api() as client:
        found = client.get("/api/v1/prices/offer", params={"latest": latest}).json()
    emit(found, _changes(found), as_json)


@app.command()
def update(
    latest: Latest = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; implies --yes.")] = False,
) -> None:
    """Take the price list of the installed genai-prices package, after showing what it changes.

    What was charged stays as it was: the ledger names the version of each price.
    """
    with api() as client:
        found = client.get("/api/v1/prices/offer", params={"latest": latest}).json()
        if not as_json:
            console.print(_changes(found))
        if not found["changes"]:
            emit(found, "", as_json)
            return
        if not (yes or as_json):
            typer.confirm("Take these prices?", abort=True)
        body = {"digest": found["digest"], "latest": latest}
        done = client.post("/api/v1/prices/update", json=body).json()
    emit(done, f"Price list {done['version']} is in force: {line(done['source'])}.", as_json)


def _row(price: dict[str, Any]) -> dict[str, object]:
    rates = price["rates"]
    return {
        "price": price["label"],
        "input": dollars_per_million(rates["input"]),
        "cached": dollars_per_million(rates["cache_read"]),
        "output": dollars_per_million(rates["output"]),
        "long input": ", ".join(
            f"{dollars_per_million(tier['rates']['input'])} above {tier['above']:,}"
            for tier in price["tiers"]
        ),
        "since": moment(price["valid_from"])[:10],
        "source": price["source"],
    }


def _changes(found: dict[str, Any]) -> object:
    """Return what a list changes for people: prices that move in full, models that come or go by number."""
    changed = [each for each in found["changes"] if each["kind"] == "changed"]
    lines = [f"{line(found['source'])} against price list {found['base']}:"]
    for each in changed[:_SHOWN]:
        lines.append(f"  {line(each['provider'])}/{line(each['model'])}")
        lines += [f"    {line(_detail(detail))}" for detail in each["details"]]
        lines += [] if each["details"] else [f"    is meant by {line(each['names'], cap=300)}"]
    if len(changed) > _SHOWN:
        lines.append(f"  and {len(changed) - _SHOWN} more; --json has them all")
    for kind, said in (("added", "new"), ("gone", "not listed any more, kept as they are")):
        names = [f"{each['provider']}/{each['model']}" for each in found["changes"] if each["kind"] == kind]
        if names:
            shown = ", ".join(map(line, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
            lines.append(f"  {len(names)} {said}: {shown}")
    return "\n".join(lines if found["changes"] else [*lines, "  nothing changes"])


def _detail(detail: dict[str, Any]) -> str:
    """Return one number that moves: a rate in dollars per million tokens, any other as it is stored."""
    what: str = detail["what"]
    said = [_said(what, detail[side]) for side in ("before", "after")]
    return f"{what.removeprefix('rates.')}: {said[0]} -> {said[1]}"


def _said(what: str, number: int | None) -> str:
    if number is None:
        return "none"
    return dollars_per_million(number) if "rates" in what else f"{number:,}"


def dollars_per_million(pico: int) -> str:
    """Return a rate in pico-dollars per token as people write it: dollars per million tokens."""
    return f"${Decimal(pico).scaleb(-6).normalize():f}"
