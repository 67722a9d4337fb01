"""`interlock serve`: the one process that owns the store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.output import notes, safe, warn
from interlock.errors import StoreInUse
from interlock.settings import load, misspelt

_TRIES = 20
_PAUSE = 0.25


def serve(
    data: Annotated[Path | None, typer.Option(help="Data directory (INTERLOCK_DATA).")] = None,
    environment: Annotated[
        str | None, typer.Option(help="The environment served (INTERLOCK_ENVIRONMENT).")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (INTERLOCK_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one (INTERLOCK_PORT).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but problems.")] = False,
) -> None:
    """Serve the MCP gateway, the API and the clock work until interrupted."""
    from interlock.app.serve import serve_forever

    settings = load(data=data, environment=environment, host=host, port=port)
    for each in misspelt():
        warn(each)

    def started(bound: int | None) -> None:
        if not quiet:
            place = f"http://{settings.host}:{bound}"
            notes.print(f"Interlock serves [bold]{safe(settings.environment)}[/bold] at {place}")
            notes.print(f"  MCP gateway  {place}/mcp")
            notes.print(f"  data         {safe(str(settings.data.absolute()))}")
            notes.print("  stop with Ctrl-C")

    for left in reversed(range(_TRIES)):
        try:
            serve_forever(settings, started)
            return
        except StoreInUse:  # a command that serves the directory for a moment, perhaps
            if not left:
                raise
            time.sleep(_PAUSE)
