"""The one edge of the command line: whatever ends a command is one line that says what to do, and a code.

0 done, 1 refused or a failed check, 2 usage, 3 anything else, 130 Ctrl-C. What nobody expected is caught here
and nowhere else; its traceback is for --debug.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from typing import Any

from typer.core import TyperGroup

from interlock import errors
from interlock.cli import interrupt

_AGAIN = "To see where: interlock --debug, then the command."
_DATABASES = ("sqlalchemy", "sqlite3", "psycopg")
_HINTS = {
    errno.EACCES: "Run it as the user whom it belongs to, or name another place.",
    errno.EPERM: "Run it as the user whom it belongs to, or name another place.",
    errno.EROFS: "It is mounted read-only: name another place.",
    errno.ENOENT: "Check the path: a folder of it is missing.",
    errno.ENOSPC: "Make room there and try again.",
    errno.EDQUOT: "Make room there and try again.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n) and try again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a command ended that did not end well: its exit code, what happened, what to do."""

    code: int
    message: str
    hint: str = ""


class Stopped(Exception):
    """A command was interrupted, or whoever read its output has gone; the cause says which."""


class Root(TyperGroup):
    """The root of all commands. Left to itself, typer would end these two without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and see its output through."""
        interrupt.raises()
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except (KeyboardInterrupt, BrokenPipeError) as cause:
            raise Stopped from cause


def ending_of(error: BaseException) -> Ending:
    """Return how a command ends on `error`."""
    match error:
        case errors.InterlockError():
            return Ending(code=exit_code(error), message=error.message, hint=error.hint)
        case Stopped():
            return ending_of(error.__cause__ or KeyboardInterrupt())
        case KeyboardInterrupt():
            hint = "What was asked of the server before may be carried out all the same."
            return Ending(code=130, message="Interrupted.", hint=hint)
        case RuntimeError() if isinstance(error.__cause__, KeyboardInterrupt):  # in a class being made
            return ending_of(error.__cause__)
        case BrokenPipeError():
            return Ending(code=3, message="The reader of the output has gone; the rest was not printed.")
        case ModuleNotFoundError() if not str(error.name).startswith("interlock"):
            message = f"This command needs more than the base installation: there is no {error.name}."
            return Ending(code=3, message=message, hint="Install interlock[server].")
        case OSError():
            return _of_system(error)
        case BaseExceptionGroup():
            inner: tuple[BaseException, ...] = error.exceptions
            return ending_of(inner[0])
        case _:
            return _unexpected(error)


def exit_code(error: errors.InterlockError) -> int:
    """Return the exit code for an error."""
    match error:
        case errors.UsageError():
            return 2
        case errors.ManifestError() | errors.NotPermitted() | errors.AuditBroken() | errors.GrantRefused():
            return 1
        case _:
            return 3


def let_output_go() -> None:
    """Send what is still unwritten nowhere, so that the end of the process does not trip over it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _of_system(error: OSError) -> Ending:
    where = f"{error.filename}: " if error.filename else ""
    said = error.strerror or str(error) or type(error).__name__
    return Ending(code=3, message=f"{where}{said}.", hint=_HINTS.get(error.errno or 0, _AGAIN))


def _unexpected(error: BaseException) -> Ending:
    """Name the error and its first line. What SQLAlchemy adds may hold values: only the driver's words."""
    if type(error).__module__.partition(".")[0] in _DATABASES:
        said = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        return Ending(code=3, message=f"The database failed: {said}.", hint="interlock doctor")
    said = str(error).strip().partition("\n")[0]
    return Ending(
        code=3, message=f"Something nobody expected went wrong: {type(error).__name__}: {said}", hint=_AGAIN
    )
