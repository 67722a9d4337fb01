"""`interlock demo`: what agents may do and spend, and how it is taken back, on real parts, in a minute."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import which
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
    "[green]Every step did what it should, by the records of git, the help desk, the model, the webhooks and "
    "the audit log.[/green]"
)
LOOK = (
    ("budget report --by workflow,model,customer", "who spent what, on what, for whom"),
    ("budget history", "what each budget was, and what was spent of it"),
    ("alerts list", "what was raised; alerts show EVENT has the runbook's entry and who was told"),
    ("incidents list", "what was halted"),
    ("runs list", "the four runs; budget explain RUN has every model call of one"),
    ("actions list", "the tool calls that changed something, and those that were not let"),
    ("breaker list --all", "what was open, and who signed for it: breaker show BREAKER"),
    ("audit verify", "that nobody changed the record since"),
)
"""Commands that show what the demonstration left, and what of it."""
_READ = """
To read on
  docs/tutorials/govern-an-mcp-server.md   the first act with a tool server of your own
  docs/tutorials/budget-an-agent.md        the second act with an agent of your own
  docs/how-to/undo-what-an-agent-did.md    the third act, and what else can be undone
  interlock init                           a commented manifest to start from"""


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the story, instead of leaving the server to look at.")
    ] = False,
    keep: Annotated[Path | None, typer.Option(help="Play in this new folder and keep it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and end after the story.")] = False,
) -> None:
    """Run the story: what agents may do and spend, and how it is taken back; exit 1 if a step went wrong."""
    from interlock.demo.spending import Spending
    from interlock.demo.stage import check_requirements
    from interlock.demo.story import Story

    check_requirements()
    with tempfile.TemporaryDirectory(prefix="interlock-demo-") as folder, Spending(_tell) as spending:
        stage = spending.stage(_new_folder(keep) if keep else Path(folder))
        try:
            steps = Story(stage, spending, _tell).play()
            if json_:
                emit({"items": [dataclasses.asdict(each) for each in steps], "next": None}, "", True)
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
    if once and not kept:
        console.print("\nNothing of it is kept. To look at it: interlock demo, or --keep FOLDER.")
    else:
        _say_where_to_look(stage, running=not once)
    console.print(_READ)


def _say_where_to_look(stage: Stage, *, running: bool) -> None:
    console.print("\nWhere to look next" + (", in another terminal; the server runs on" if running else ""))
    if which("interlock") is None:
        console.print(f'  export PATH="{safe(str(Path(sys.executable).parent))}:$PATH"')
    console.print(f"  export INTERLOCK_DATA={safe(shlex.quote(str(stage.data)))}")
    for command, shows in LOOK:
        console.print(f"  interlock {command:<45}{shows}")
    console.print(
        f"  {safe(str(stage.root))} has the manifest, the git repository, the help desk and the logs"
    )
    if running:
        console.print("Stop with Ctrl-C.")
