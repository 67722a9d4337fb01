"""A page of a list, as every command that lists has it: --limit, --before, and where the list goes on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interlock.cli.output import emit, line, notes

Before = Annotated[str, typer.Option(help='The page that follows: "next" of the page before.')]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]


def emit_page(found: dict[str, Any], shown: object, as_json: bool) -> None:
    """Print a page as it came, or as a table with a word on where the list goes on."""
    emit(found, shown if found["items"] else "None.", as_json)
    if found["next"] and not as_json:
        notes.print(f"[dim]There are more: --before {line(found['next'])}[/dim]")
