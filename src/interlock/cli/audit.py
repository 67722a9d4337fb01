"""`interlock audit`: list, export, verify and checkpoint the log of everything that was decided and done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from interlock import errors
from interlock.cli import audit_entry
from interlock.cli.client import api
from interlock.cli.options import Before, Json
from interlock.cli.output import console, emit, notes, safe, table
from interlock.cli.page import emit_page
from interlock.sdk.local import require_data
from interlock.settings import load

app = typer.Typer(
    name="audit", help="The tamper-evident log of every decision and action.", no_args_is_help=True
)

Run = Annotated[str, typer.Option(help="Only entries of this run.")]
Agent = Annotated[str, typer.Option(help="Only entries of this agent.")]
Workflow = Annotated[str, typer.Option(help="Only entries of this workflow.")]
Tool = Annotated[str, typer.Option(help="Only entries about this tool.")]
Action = Annotated[str, typer.Option(help="Only entries about this action.")]
Kind = Annotated[str, typer.Option(help="Only entries of this kind, such as call.denied.")]
Since = Annotated[str, typer.Option(help="From this time on (2026-11-22 or 2026-11-22T15:00:00Z).")]
Until = Annotated[str, typer.Option(help="Before this time.")]


@app.command("list")
def list_(
    run: Run = "",
    agent: Agent = "",
    workflow: Workflow = "",
    tool: Tool = "",
    action: Action = "",
    kind: Kind = "",
    since: Since = "",
    until: Until = "",
    before: Before = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many entries.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest entries, newest first, each in a line. --json and audit show have all of each."""
    wanted = _filter(run, agent, workflow, tool, action, kind, since, until)
    with api() as client:
        page = {"before": before, "limit": str(limit)}
        found = client.get("/api/v1/audit", params={**wanted, **page}).json()
    columns = ("at", "kind", "what", "run", "action")
    rows = [audit_entry.row(each) for each in found["items"]]
    emit_page(found, table(rows, columns, spare=("action", "run")), as_json)


@app.command()
def show(
    about: Annotated[str, typer.Argument(help="The id of a run or of an action, as audit list shows it.")],
    as_json: Json = False,
) -> None:
    """Show what happened in one run or to one action, whole, oldest first."""
    which = "action" if about.startswith("act_") else "run"
    entries: list[dict[str, Any]] = []
    wanted, more = {which: about, "limit": "1000"}, ""
    with api() as client:
        while more is not None:
            page = client.get("/api/v1/audit", params={**wanted, "before": more}).json()
            entries += page["items"]
            more = page["next"]
    if not entries:
        raise errors.NotFound(f"The audit log has nothing about {about!r}.", hint="interlock audit list")
    entries.reverse()
    emit({"items": entries, "next": None}, audit_entry.whole(entries), as_json)


@app.command()
def export(
    run: Run = "",
    agent: Agent = "",
    workflow: Workflow = "",
    tool: Tool = "",
    action: Action = "",
    kind: Kind = "",
    since: Since = "",
    until: Until = "",
    form: Annotated[str, typer.Option("--format", help="jsonl or cloudevents.")] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; without it, stdout.")] = None,
) -> None:
    """Write the log as JSON lines or CloudEvents. Without filters the file can be verified."""
    wanted = _filter(run, agent, workflow, tool, action, kind, since, until)
    written = 0
    with (
        api() as client,
        client.stream("GET", "/api/v1/audit/export", params={**wanted, "format": form}) as answer,
        _opened(output) as file,
        _progress("exported") as progress,
    ):
        for piece in answer.iter_bytes():
            file.write(piece)
            written += piece.count(b"\n")
            progress(written)
    if output is not None:
        notes.print(f"{written} lines in {safe(str(output))}")


@app.command()
def verify(
    export: Annotated[Path | None, typer.Option(help="Verify this export instead of the database.")] = None,
    key: Annotated[
        list[Path] | None, typer.Option(help="The audit key; again for several chains' keys.")
    ] = None,
    checkpoints: Annotated[Path | None, typer.Option(help="Directory of signed checkpoints.")] = None,
    jwks: Annotated[Path | None, typer.Option(help="Public keys of the checkpoints.")] = None,
    as_json: Json = False,
) -> None:
    """Recompute every hash, and compare with the signed checkpoints. Exit 1 when something is wrong.

    Works offline, beside a running server or without one. With INTERLOCK_URL the server verifies its log.
    """
    settings = load()
    if settings.url and export is None:
        with api(settings) as client:
            report: Any = client.get("/api/v1/audit/verify").json()
    else:
        report = _verify_here(export, key or [], checkpoints, jwks)
    if as_json:
        emit(report, "", as_json=True)
    else:
        _show(report)
    if not report["ok"]:
        raise typer.Exit(1)


@app.command()
def checkpoint(as_json: Json = False) -> None:
    """Sign where the log stands now and write it to the checkpoint directory."""
    with api() as client:
        answer = client.post("/api/v1/audit/checkpoints").json()
    taken = answer["checkpoint"]
    if taken is None:
        shown = "Nothing happened since the last checkpoint."
    else:
        over = _count(len(taken["heads"]), "chain", "chains")
        shown = f"Checkpoint {taken['id']} over {over} is in {safe(answer['directory'])}."
    emit(answer, shown, as_json)


def _verify_here(export: Path | None, keys: list[Path], checkpoints: Path | None, jwks: Path | None) -> Any:
    try:
        import msgspec

        from interlock.services import verify_audit
    except ModuleNotFoundError as missing:
        raise errors.UsageError(
            f"This installation cannot verify here: no {missing.name}.", hint="Install interlock[server]."
        ) from missing
    settings = load()
    with _progress("verified") as progress:
        if export is None:
            if not keys:
                require_data(settings)
            report = verify_audit.verify_database(
                settings, keys=keys, directory=checkpoints, jwks=jwks, progress=progress
            )
        else:
            own = [settings.data / "keys" / "audit.key"]
            beside = settings.checkpoint_directory / "jwks.json"
            known = jwks or (beside if checkpoints is None and beside.exists() else None)
            report = verify_audit.verify_export(
                export, keys=keys or own, directory=checkpoints, jwks=known, progress=progress
            )
    return msgspec.to_builtins(report)


def _show(report: Any) -> None:
    entries = _count(report["entries"], "entry", "entries")
    chains = _count(report["chains"], "chain", "chains")
    seen = f"{entries} in {chains}, {_count(report['checkpoints'], 'checkpoint', 'checkpoints')}"
    if report["ok"]:
        console.print(f"[green]The audit log verifies[/green]: {seen}.")
        if report["since_checkpoint"]:
            newer = _count(report["since_checkpoint"], "entry is", "entries are")
            console.print(f"{newer} newer than the last checkpoint: cutting them off could not be seen.")
        return
    found = _count(report["found"], "finding", "findings")
    console.print(f"[red]The audit log does NOT verify[/red]: {found} in {seen}.")
    for flaw in report["flaws"]:
        where = f"{flaw['chain']}: " if flaw["chain"] else ""
        console.print(f"  {safe(flaw['code'])}  {safe(where)}{safe(flaw['message'])}")
    if report["found"] > len(report["flaws"]):
        console.print(f"  and {report['found'] - len(report['flaws'])} more")
    console.print(safe(report["advice"]))


def _filter(
    run: str, agent: str, workflow: str, tool: str, action: str, kind: str, since: str, until: str
) -> dict[str, str]:
    given = {
        "run": run,
        "agent": agent,
        "workflow": workflow,
        "tool": tool,
        "action": action,
        "kind": kind,
        "since": since,
        "until": until,
    }
    return {name: value for name, value in given.items() if value}


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


@contextmanager
def _opened(output: Path | None) -> Generator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    try:
        with output.open("wb") as file:
            yield file
    except OSError as error:
        raise errors.UsageError(f"{output} cannot be written: {error.strerror}.") from error


@contextmanager
def _progress(what: str) -> Generator[Callable[[int], None]]:
    """Yield a function that shows a count on a terminal; elsewhere the spinner shows nothing."""
    with notes.status(f"{what} 0 entries") as status:

        def show(count: int) -> None:
            status.update(f"{what} {count} entries")

        yield show
