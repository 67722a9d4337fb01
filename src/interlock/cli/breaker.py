"""`interlock breaker`: what is open and why, and the signature that lets it go on (E1)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.client import api, segment
from interlock.cli.moment import moment
from interlock.cli.options import Json
from interlock.cli.output import console, emit, line, safe, table
from interlock.core.model import BreakerState
from interlock.errors import UsageError

app = typer.Typer(
    name="breaker", help="Circuit breakers: a person closes what tripped.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="tool:NAME, workflow:NAME or agent:NAME.")]
_COLUMNS = ("breaker", "state", "opened", "cause", "clean_runs", "incident", "why")
_FIELDS = ("breaker", "state", "opening", "cause", "why", "opened", "opened_by", "run", "starter", "incident")


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones that have opened once too.")] = False,
    as_json: Json = False,
) -> None:
    """List what is open or half-open, the latest change first."""
    with api() as client:
        found = client.get("/api/v1/breakers", params={"all": "1" if everything else ""}).json()
    rows = [{**each, "opened": moment(each["opened_at"])} for each in found["items"]]
    emit(found, table(rows, _COLUMNS, spare=("clean_runs", "incident")), as_json)


@app.command()
def show(breaker: Name, as_json: Json = False) -> None:
    """Show one breaker: why it opened, what speaks for closing it, and who signed before."""
    with api() as client:
        found = client.get(f"/api/v1/breakers/{segment(breaker)}").json()
    if as_json:
        emit(found, "", True)
        return
    shown = {**found, "opened": moment(found["opened_at"])}
    for field in _FIELDS:
        if shown[field]:
            console.print(f"{field.replace('_', ' ')}  {safe(shown[field])}")
    if found["state"] == BreakerState.HALF_OPEN.value:
        console.print(_evidence(found))
    signed = [{**each, "at": moment(each["at"])} for each in found["sign_offs"]]
    if signed:
        columns = ("opening", "from_state", "to_state", "person", "at", "clean_runs", "reason")
        console.print(table(signed, columns, title="Signed off"))


@app.command()
def trip(
    breaker: Name,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    as_json: Json = False,
) -> None:
    """Open a breaker by hand: its calls are refused until a person signs it off."""
    with api() as client:
        done = client.post(f"/api/v1/breakers/{segment(breaker)}/trip", json={"reason": reason}).json()
    emit(done, line(f"{done['breaker']} is open. Incident: {done['incident']}."), as_json)


@app.command("sign-off")
def sign_off(
    breaker: Name,
    to: Annotated[str, typer.Option(help="half-open: a person decides on every write. closed: as before.")],
    reason: Annotated[str, typer.Option(help="Why it may go on; kept with your name.")],
    as_json: Json = False,
) -> None:
    """Sign that a breaker may go on. Nothing else leads out of open, and no time does."""
    states = {"half-open": BreakerState.HALF_OPEN, "closed": BreakerState.CLOSED}
    if to not in states:
        raise UsageError(f"A breaker is not signed off to {to[:40]!r}.", hint="--to half-open, or closed")
    body = {"to": states[to].value, "reason": reason}
    with api() as client:
        done = client.post(f"/api/v1/breakers/{segment(breaker)}/sign-off", json=body).json()
    emit(done, line(f"{done['breaker']} is {to}."), as_json)


def _evidence(found: dict[str, Any]) -> str:
    runs = found["clean_runs"]
    return f"evidence  {runs} run{'' if runs == 1 else 's'} ended without a failure since it is half-open"
