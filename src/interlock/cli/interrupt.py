"""What Ctrl-C does: while a command is being loaded it ends the process; once it runs it is an exception.

Nothing has been begun while it loads. An exception would pass through modules that are half loaded, which may
turn it into another or lose it. Where SIGINT is ignored, it stays so: a shell starts a job in the background
like that.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

_INTERRUPTED = 130


def ends_at_once() -> None:
    """From now on Ctrl-C ends the process where it is."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raises() -> None:
    """From now on Ctrl-C is an exception again: the command may have something to end."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    os.write(2, b"Interrupted.\nNothing was begun.\n")
    os._exit(_INTERRUPTED)
