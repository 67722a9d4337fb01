"""A page of a list, as every command that lists prints it, with where the list goes on."""

from __future__ import annotations

from typing import Any

from interlock.cli.output import emit, line, notes


def emit_page(found: dict[str, Any], shown: object, as_json: bool, *, none: str = "None.") -> None:
    """Print a page as it came, or as a table and where the list goes on; `none` for an empty one."""
    emit(found, shown if found["items"] else none, as_json)
    if found["next"] and not as_json:
        notes.print(f"[dim]There are more: --before {line(found['next'])}[/dim]")
