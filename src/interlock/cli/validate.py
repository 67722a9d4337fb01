"""`interlock validate`: is a manifest well-formed and does it make sense, offline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.files import ManifestPath
from interlock.cli.output import emit, safe
from interlock.errors import ManifestError
from interlock.settings import load


def validate(
    path: ManifestPath = Path(),
    environment: Annotated[
        list[str] | None,
        typer.Option(help="Check for this environment; the default is every one that documents name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a manifest without a server; exit 1 with every problem, each with file, line and column."""
    import msgspec

    from interlock.manifest import read_manifest
    from interlock.manifest.source import read

    try:
        manifest = read_manifest(read(path))
        environments = environment or manifest.environments() or (load().environment,)
        manifest.check(*environments)
    except ManifestError as error:
        found = {"valid": False, "problems": msgspec.to_builtins(error.problems)}
        emit(found, safe(error.message, cap=20_000), as_json)
        raise typer.Exit(1) from None
    counts = Counter(type(each).__name__ for each in manifest.documents)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    data = {"valid": True, "problems": [], "documents": dict(counts), "environments": list(environments)}
    emit(data, f"Valid for {', '.join(environments)}: {said}.", as_json)
