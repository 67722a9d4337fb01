"""The `interlock` command. Each noun or verb is a module of its own; this file only lists them."""

from __future__ import annotations

import gc
import sys
import traceback
from functools import cache
from itertools import takewhile

import typer

from interlock import __version__, errors
from interlock.cli.edge import Root, ending_of, let_output_go
from interlock.cli.output import notes, safe
from interlock.settings import load


@cache
def assemble(only: str = "") -> typer.Typer:
    """Return the command with every noun added; where `only` is the name of one, with no other.

    To know all commands takes longer than most of them run.
    """
    from interlock.cli import commands, examples

    app = typer.Typer(
        name="interlock",
        cls=Root,
        help="The control plane for AI agents: what they may do, decided, enforced, recorded and undone.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_options)
    if commands.is_known(only):
        commands.add(app, only)
    else:
        commands.add_all(app)
    examples.add_examples(app)
    return app


def _options(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
    _debug: bool = typer.Option(
        False, "--debug", help="Show where an error comes from (also INTERLOCK_LOG_LEVEL=debug)."
    ),
) -> None:
    if version:
        typer.echo(f"interlock {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: 0 done, 1 refused or a failed check, 2 usage, 3 anything else, 130 Ctrl-C."""
    gc.set_threshold(50_000, 20, 100)  # a start makes what stays: looking through it took a tenth of its time
    try:
        assemble(_asked())()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge of the process
        sys.exit(_end(error))


def _end(error: BaseException) -> int:
    """Say how the command ended and return its exit code."""
    if _debugging():
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error.__cause__, BrokenPipeError):
        let_output_go()
    ending = ending_of(error)
    notes.print(f"[red]{safe(ending.message)}[/red]")
    if ending.hint:
        notes.print(safe(ending.hint))
    return ending.code


def _asked() -> str:
    """Return the first word that was typed but `--debug`: a command's name, unless it is another option."""
    return next((word for word in sys.argv[1:] if word != "--debug"), "")


def _debugging() -> bool:
    """Whether tracebacks are wanted. A `--debug` behind the command's name belongs to the command."""
    if "--debug" in takewhile(lambda word: word.startswith("-"), sys.argv[1:]):
        return True
    try:
        return load().log_level == "debug"
    except errors.UsageError:
        return False
