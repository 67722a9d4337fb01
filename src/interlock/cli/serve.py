"""`interlock serve`: the one process that owns the store, or one of several that share a database."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.output import notes, safe, warn
from interlock.settings import Settings, environment_with, load, misspelt


def serve(
    data: Annotated[Path | None, typer.Option(help="Data directory (INTERLOCK_DATA).")] = None,
    environment: Annotated[
        str | None, typer.Option(help="The environment served (INTERLOCK_ENVIRONMENT).")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (INTERLOCK_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one (INTERLOCK_PORT).")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            help="What this process does, on PostgreSQL: gateway, control, worker, comma-separated; "
            "all three if left out (INTERLOCK_ROLE)."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but problems.")] = False,
) -> None:
    """Serve the gateways, the API and the clock work until interrupted."""
    from interlock.app.roles import ALL, Role, require_shared, roles_of

    settings = load(data=data, environment=environment, host=host, port=port, role=role)
    for each in misspelt():
        warn(each)
    roles = roles_of(settings.role)
    require_shared(roles, shared=bool(settings.database))
    if roles == frozenset({Role.GATEWAY}):
        _become_gateway(settings, quiet=quiet)

    def started(bound: int | None) -> None:
        if not quiet:
            place = f"http://{settings.host}:{bound}"
            split = "" if roles == ALL else f" (role {', '.join(sorted(roles))})"
            notes.print(f"Interlock serves [bold]{safe(settings.environment)}[/bold] at {place}{split}")
            if Role.GATEWAY in roles:
                notes.print(f"  MCP gateway  {place}/mcp")
            notes.print(f"  data         {safe(str(settings.data.absolute()))}")
            notes.print("  stop with Ctrl-C")

    from interlock.app.serve import serve_patiently

    serve_patiently(settings, started)


def _become_gateway(settings: Settings, *, quiet: bool) -> None:
    """Go on as a process that never loaded the command line: a quarter of its memory."""
    known = environment_with(**{name: value for name, value in asdict(settings).items() if value != ""})
    command = [sys.executable, "-P", "-m", "interlock.app", *(["--quiet"] if quiet else [])]
    os.execve(sys.executable, command, known)
