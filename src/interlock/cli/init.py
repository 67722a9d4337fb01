"""`interlock init`: a first manifest, from a commented example or from a live tool server."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.output import notes, safe
from interlock.errors import UsageError


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("interlock.yaml"),
    from_mcp: Annotated[
        str | None,
        typer.Option(
            metavar="URL_OR_COMMAND", help="List the tools of this MCP server as entries to fill in."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="With --from-mcp: the server's name in the manifest.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented manifest that validates: an example to change, or a live server's tools to map."""
    if path.exists() and not force:
        raise UsageError(f"{path} exists already.", hint="Name another file, or use --force.")
    text = _listed(from_mcp, name) if from_mcp else example()
    path.write_text(text, encoding="utf-8")
    notes.print(f"Wrote {safe(str(path))}. Next: interlock validate {safe(str(path))}")


def example() -> str:
    """Return the commented example, with this interpreter as the one that runs the help desk."""
    text = files("interlock.cli").joinpath("example.yaml").read_text(encoding="utf-8")
    return text.replace("__PYTHON__", json.dumps(sys.executable))


def _listed(place: str, name: str | None) -> str:
    from interlock.cli.listing import list_tools, manifest_of, server_name

    known = name or server_name(place)
    return manifest_of(known, place, list_tools(place))
