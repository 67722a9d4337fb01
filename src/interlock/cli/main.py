"""The `interlock` command. Each noun or verb is a module of its own; this file only lists them."""

from __future__ import annotations

import sys
from functools import cache

import typer

from interlock import __version__, errors
from interlock.cli.output import notes, safe

app = typer.Typer(
    name="interlock",
    help="The control plane for AI agents: what they may do, decided, enforced, recorded and undone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
) -> None:
    if version:
        typer.echo(f"interlock {__version__}")
        raise typer.Exit


@cache
def assemble() -> typer.Typer:
    """Return the command with every noun added, once."""
    from interlock.cli import commands

    commands.add_all(app)
    return app


def main() -> None:
    """Run the command line: 0 done, 1 refused or a failed check, 2 usage, 3 anything else."""
    try:
        assemble()()
    except errors.InterlockError as error:
        notes.print(f"[red]{safe(error.message)}[/red]")
        if error.hint:
            notes.print(safe(error.hint))
        sys.exit(exit_code(error))
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("interlock"):
            raise
        notes.print(f"This command needs more than the base installation: there is no {missing.name}.")
        notes.print(safe("Install interlock[server]."))
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)


def exit_code(error: errors.InterlockError) -> int:
    """Return the exit code for an error."""
    match error:
        case errors.UsageError():
            return 2
        case errors.ManifestError() | errors.NotPermitted() | errors.AuditBroken() | errors.GrantRefused():
            return 1
        case _:
            return 3
