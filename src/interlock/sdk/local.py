"""How a program or a command reaches the API: a server by URL, the data directory's own, or one started here.

Nobody opens the store beside a running server: where the data directory is served, they talk to the local
socket; where it is not, they serve it themselves for as long as they run, under the same exclusive lock. So
everything works the same with and without a server. Only what may begin something makes a data directory;
everybody else is told that there is none.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from interlock import errors
from interlock.sdk.endpoint import Endpoint
from interlock.settings import Settings, load

_TRIES = 120
_PAUSE = 0.25


@contextmanager
def endpoint(
    settings: Settings | None = None, *, shared: bool = True, creates: bool = False
) -> Generator[Endpoint]:
    """Yield where the API can be reached, serving the data directory here if nobody does.

    A command that takes a while shares what it serves with the others; one that ends at once does not, so
    that nobody leans on a server that is about to go. Raises `UsageError` where there is no data directory
    and the command does not make one (`creates`), `StoreUnavailable` where nothing answers.
    """
    import httpx2

    known = settings or load()
    if not (known.url or creates):
        require_data(known)
    with ExitStack() as stack:
        try:
            yield _place(known, stack, shared=shared)
        except httpx2.InvalidURL as error:
            raise errors.UsageError(f"INTERLOCK_URL is not a URL: {error}.") from error
        except httpx2.TransportError as error:
            raise errors.StoreUnavailable(
                f"Interlock cannot be reached at {known.url or known.socket}: {error}.",
                hint="Is the server running? Try: interlock doctor",
            ) from error


def _place(settings: Settings, stack: ExitStack, *, shared: bool) -> Endpoint:
    if settings.url:
        return Endpoint(base_url=settings.url.rstrip("/"))
    place = settings.socket if shared else settings.socket.with_name(f"c{os.getpid()}.sock")
    return Endpoint(base_url="http://interlock", socket=_served(settings, place, stack, shared))


def require_data(settings: Settings) -> None:
    """Refuse where nothing was ever kept. A database elsewhere is no exception: its keys are not in it."""
    if settings.data.is_dir() and any(settings.data.iterdir()):
        return
    hint = (
        "The keys of the database that INTERLOCK_DATABASE names are in the data directory it is served from: "
        "INTERLOCK_DATA names it, INTERLOCK_URL a running server. interlock apply begins a new one."
        if settings.database
        else "Begin with interlock init and interlock apply, or go where it is: INTERLOCK_DATA names the "
        "data directory, INTERLOCK_URL a running server."
    )
    raise errors.UsageError(
        f"There is no data directory here: {settings.data.absolute()} does not exist or is empty.", hint=hint
    )


def _served(settings: Settings, place: Path, stack: ExitStack, shared: bool) -> Path:
    """Return the socket of the data directory's server, or serve it here at `place`.

    A process that has the directory and does not answer is starting or ending: it is waited for.
    """
    for left in reversed(range(_TRIES)):
        if _answers(settings.socket):
            break
        try:
            from interlock.app.serve import serve_here
        except ModuleNotFoundError as missing:
            raise errors.UsageError(
                f"No server answers at {settings.socket}, and this installation cannot serve: "
                f"no {missing.name}.",
                hint="Install interlock[server], or set INTERLOCK_URL to a running server.",
            ) from missing
        try:
            stack.enter_context(serve_here(settings, place, agents=shared))
            return place
        except errors.StoreInUse:
            if not left:
                raise
            time.sleep(_PAUSE)
    return settings.socket


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
