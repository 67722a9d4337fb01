"""Every command, in the order in which `interlock --help` lists them."""

from __future__ import annotations

import typer

from interlock.cli import audit, demo, doctor, serve


def add_all(app: typer.Typer) -> None:
    """Add every command to `app`."""
    app.command("serve")(serve.serve)
    app.command("demo")(demo.demo)
    app.command("doctor")(doctor.doctor)
    app.add_typer(audit.app, name="audit")
