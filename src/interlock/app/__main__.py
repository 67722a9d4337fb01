"""`python -m interlock.app`: serve as the settings in the environment say, without the command line.

`interlock serve --role gateway` becomes this process: what reads options and draws tables takes memory that a
process which only serves model calls has no use for.
"""

from __future__ import annotations

import sys

from interlock.app.serve import serve_patiently
from interlock.errors import InterlockError, UsageError
from interlock.settings import load


def main() -> None:
    """Serve until interrupted: 0 then, 2 for what is asked wrongly, 3 for what keeps it from starting."""
    settings, quiet = load(), "--quiet" in sys.argv

    def started(port: int | None) -> None:
        if quiet:
            return
        say(
            f"Interlock serves {settings.environment} at http://{settings.host}:{port} (role {settings.role})"
        )
        say(f"  data         {settings.data.absolute()}")

    try:
        serve_patiently(settings, started)
    except InterlockError as error:
        say(error.message)
        say(error.hint)
        sys.exit(2 if isinstance(error, UsageError) else 3)


def say(text: str) -> None:
    """Say something to whoever started us."""
    if text:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main()
