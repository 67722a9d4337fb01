"""`interlock kill`: stop a run, a workflow, an agent, a tool or everything, and see what came of it (B5).

Where the API cannot be used (no server answers, or it has lost its database), the kill is written into the
kill file of the data directory, which a process there obeys within moments and without either.
"""

from __future__ import annotations

import getpass
import time
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import console, emit, line, notes, table
from interlock.cli.page import emit_page
from interlock.core.kill import KillLevel, KillOrder, KillScope, KillSource, scope_of, subject_of
from interlock.errors import StoreError, UsageError
from interlock.runtime import Runtime
from interlock.settings import Settings, load

app = typer.Typer(name="kill", help="The kill switch: stop now, resume by two people.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Why; kept in the audit log and told to who is paged.")]
Level = Annotated[
    KillLevel,
    typer.Option(help="pause: no new runs. freeze: no writes either. stop: nothing, and what runs is cut."),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Write the kill file at once: no server, no database, no token.")
]
_PATIENCE, _LOOK = 2.0, 0.05
_TIMEOUT = 5.0


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="The run, run_….")],
    reason: Reason,
    level: Level = KillLevel.STOP,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Stop one run, and the runs that it began."""
    _press(KillScope.RUN, name, level, reason, offline=offline, as_json=as_json)


@app.command()
def workflow(
    name: Annotated[str, typer.Argument(help="The workflow, as the manifest names it.")],
    reason: Reason,
    level: Level = KillLevel.STOP,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Stop every run of a workflow."""
    _press(KillScope.WORKFLOW, name, level, reason, offline=offline, as_json=as_json)


@app.command()
def agent(
    name: Annotated[str, typer.Argument(help="The agent, as the manifest names it.")],
    reason: Reason,
    level: Level = KillLevel.STOP,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Stop every run of an agent."""
    _press(KillScope.AGENT, name, level, reason, offline=offline, as_json=as_json)


@app.command()
def tool(
    name: Annotated[str, typer.Argument(help="The tool, server.tool.")],
    reason: Reason,
    level: Level = KillLevel.STOP,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Stop every call of a tool. Runs go on without it."""
    _press(KillScope.TOOL, name, level, reason, offline=offline, as_json=as_json)


@app.command()
def environment(
    name: Annotated[str, typer.Argument(help="The environment that the server serves.")],
    reason: Reason,
    level: Level = KillLevel.STOP,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Stop everything in one environment."""
    _press(KillScope.ENVIRONMENT, name, level, reason, offline=offline, as_json=as_json)


@app.command("all")
def all_(
    reason: Reason, level: Level = KillLevel.STOP, offline: Offline = False, as_json: Json = False
) -> None:
    """Stop everything: every environment of the database."""
    _press(KillScope.ALL, "", level, reason, offline=offline, as_json=as_json)


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Resumed ones too.")] = False,
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List what is stopped, newest first."""
    wanted = {"all": "1" if everything else "", "before": before, "limit": str(limit)}
    with api() as client:
        found = client.get("/api/v1/kills", params=wanted).json()
    rows = [{**each, "at": moment(each["pressed_at"])} for each in found["items"]]
    columns = ("id", "subject", "level", "state", "at", "pressed_by", "proposed_by", "reason")
    emit_page(found, table(rows, columns), as_json)


@app.command()
def show(
    kill: Annotated[str, typer.Argument(help="The id of a kill, kill_….")], as_json: Json = False
) -> None:
    """Check again what a kill has done, what is in flight and what it cannot reach."""
    with api() as client:
        found = client.get(f"/api/v1/kills/{kill}").json()
    if as_json:
        emit(found, "", True)
        return
    console.print(f"{line(found['subject'])}: {line(found['level'])}, {line(found['state'])}")
    console.print(f"pressed by {line(found['pressed_by'])}: {line(found['reason'])}")
    _say(found["report"])


@app.command()
def resume(
    kill: Annotated[str, typer.Argument(help="The id of a kill, kill_….")],
    reason: Annotated[str, typer.Option(help="Why it may go on.")],
    as_json: Json = False,
) -> None:
    """Let it go on: the first person proposes, another one confirms."""
    with api() as client:
        done = client.post(f"/api/v1/kills/{kill}/resume", json={"reason": reason}).json()
    if done["state"] == "proposed":
        said = f"Proposed. It stays stopped until another person confirms: interlock kill resume {kill}"
    elif done["alone"]:
        said = f"Resumed by one person alone: {done['alone']}."
    else:
        said = f"Resumed: proposed by {done['proposed_by']}, confirmed by {done['resumed_by']}."
    emit(done, line(said), as_json)


def _press(
    scope: KillScope, name: str, level: KillLevel, reason: str, *, offline: bool, as_json: bool
) -> None:
    """Press it through the API; where that cannot be used, through the file."""
    if not reason.strip():
        raise UsageError("Pressing the kill switch needs a reason.", hint="--reason TEXT")
    if not name and scope is not KillScope.ALL:
        raise UsageError(f"Name the {scope.value} to stop.", hint="To stop everything: interlock kill all")
    settings, runtime = load(), Runtime.real()
    order = KillOrder(
        id=runtime.ids.new("kill"),
        subject=subject_of(scope, name),
        level=level,
        reason=reason,
        by=f"{getpass.getuser()} of this machine",
        source=KillSource.FILE,
        at=runtime.clock.now(),
    )
    report = None if offline else _press_by_api(settings, order)
    if report is None:
        _press_by_file(settings, order, as_json=as_json)
    elif as_json:
        emit(report, "", True)
    else:
        _say(report)


def _press_by_api(settings: Settings, order: KillOrder) -> dict[str, Any] | None:
    """Press it through the API and return its report; None where the file of this directory has to do."""
    scope, name = scope_of(order.subject)
    body = {"scope": scope.value, "name": name, "level": order.level.value, "reason": order.reason}
    try:
        with api(settings) as client:
            return client.post("/api/v1/kills", json={**body, "id": order.id}, timeout=_TIMEOUT).json()
    except StoreError as error:
        if settings.url:  # the data directory here is not that server's
            hint = "On the server's machine, as its user: the same command with --offline."
            raise StoreError(error.message, hint=hint) from error
        notes.print(f"[yellow]{line(error.message)}[/yellow] The kill file is used instead.")
        return None


def _press_by_file(settings: Settings, order: KillOrder, *, as_json: bool) -> None:
    """Write the kill file, and wait for a process to say that it obeys. Raises `StoreError`."""
    from interlock.store import kill_file

    try:
        kill_file.write(settings.data, order)
    except OSError as error:
        raise StoreError(
            f"The kill file {settings.data / kill_file.NAME} cannot be written: {error.strerror}.",
            hint="Run this on the server's machine, as its user, with INTERLOCK_DATA set.",
        ) from error
    process = _obeyed_by(settings, order.id)
    done: dict[str, Any] = {
        "kill": order.id,
        "subject": order.subject,
        "level": order.level.value,
        "file": str(settings.data / kill_file.NAME),
        "process": process,
    }
    if process is not None:
        said = f"Process {process} obeys {order.id}."
    else:
        said = f"{order.id} is written, and no process has said that it obeys. One that starts here will."
    emit(done, line(said), as_json)
    if process is None:
        raise typer.Exit(3)


def _obeyed_by(settings: Settings, kill: str) -> int | None:
    from interlock.store import kill_file

    for _ in range(int(_PATIENCE / _LOOK)):
        said = kill_file.seen(settings.data)
        if said is not None and kill in said.ids:
            return said.process
        time.sleep(_LOOK)
    return None


def _say(report: dict[str, Any]) -> None:
    """Say what is certain, what is not, and what is out of reach."""
    state = "refuses" if report["refusing"] else "does not refuse"
    console.print(
        f"{line(report['kill'])}: this server {state} {line(report['subject'])} ({report['level']})."
    )
    if not report["recorded"]:
        console.print(
            "[yellow]It is not on record yet; it is as soon as the database can be written.[/yellow]"
        )
    for each in report["processes"]:
        console.print(f"confirmed   {line(each['process'])}; runs ended: {len(each['runs_ended'])}")
    for each in report["in_flight"]:
        console.print(f"in flight   {line(each['what'])} of {line(each['run'])} has not ended yet")
    for each in report["in_doubt"]:
        console.print(f"in doubt    {line(each['what'])}, {line(each['action'])}: it had been sent")
    for each in report["cannot_reach"]:
        console.print(f"not reached {line(each)}")
