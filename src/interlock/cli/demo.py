"""`interlock demo`: an agent's tool calls, governed end to end, on real parts, in under a minute."""

from __future__ import annotations

import dataclasses
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from interlock.cli.output import console, emit, notes, safe
from interlock.demo.evidence import Step, all_ok
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.demo.stage import Stage

_WIDTH = 120
_ALL_OK = (
    "[green]Every step did what it should, by the records of git, the help desk and the audit log.[/green]"
)
_NEXT = """
Where to look next
  docs/tutorials/govern-an-mcp-server.md   the same with a tool server of your own
  docs/explanation/waiting-calls.md        what happens to a call that waits, in every situation
  interlock init                           a commented manifest to start from"""
_LOOK_AROUND = """
The server is still running. In another terminal:
  export INTERLOCK_DATA={data}
  interlock runs list
  interlock actions list
  interlock audit export
Stop with Ctrl-C."""


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the story, instead of leaving the server to look at.")
    ] = False,
    keep: Annotated[Path | None, typer.Option(help="Play in this new folder and keep it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and end after the story.")] = False,
) -> None:
    """Run the story: reads, writes, refusals, approvals and a kill -9; exit 1 if any step went wrong."""
    from interlock.demo.stage import Stage, check_requirements
    from interlock.demo.story import Story

    check_requirements()
    with tempfile.TemporaryDirectory(prefix="interlock-demo-") as folder:
        stage = Stage(_new_folder(keep) if keep else Path(folder))
        try:
            steps = Story(stage, _tell).play()
            if json_:
                emit([dataclasses.asdict(each) for each in steps], "", True)
            else:
                width = console.width if console.is_terminal else _WIDTH
                console.print(_report(steps, width), soft_wrap=False, width=width)
                _say_what_next(stage, steps, once=once, kept=keep is not None)
            if not (once or json_):
                with suppress(KeyboardInterrupt):
                    signal.pause()
        finally:
            stage.stop()
    if not all_ok(steps):
        raise typer.Exit(1)


def _new_folder(path: Path) -> Path:
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty.", hint="Name a new folder for --keep.")
    return path.absolute()


def _tell(what: str) -> None:
    notes.print(f"[dim]  {safe(what)}[/dim]")


def _report(steps: Sequence[Step], width: int) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    for column in ("", "step", "tried", "verdict", "why", "evidence"):
        shown.add_column(column, overflow="fold", no_wrap=column == "tried" and width >= _WIDTH)
    for each in steps:
        mark = Text("ok", style="green") if each.ok else Text("NO", style="bold red")
        cells = (each.step, each.tried, each.verdict, each.why, each.evidence)
        shown.add_row(mark, *(safe(cell) for cell in cells))
    return shown


def _say_what_next(stage: Stage, steps: Sequence[Step], *, once: bool, kept: bool) -> None:
    wrong = sum(not each.ok for each in steps)
    console.print(f"[bold red]{wrong} of {len(steps)} steps went wrong.[/bold red]" if wrong else _ALL_OK)
    console.print(_NEXT)
    if kept:
        console.print(f"  {safe(str(stage.root))}: manifest, git repository, help desk, data directory, logs")
    if not once:
        console.print(_LOOK_AROUND.format(data=safe(str(stage.data))))
