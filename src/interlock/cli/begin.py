"""Where the command begins: Ctrl-C while it is being loaded ends it as one later does, and in words."""

from __future__ import annotations

from interlock.cli import interrupt


def main() -> None:
    """Load the command line and run it."""
    interrupt.ends_at_once()
    from interlock.cli.main import main as run

    run()
