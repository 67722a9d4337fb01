"""Serve the application: until a signal, or from a thread for as long as a block runs."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from interlock.app.application import application
from interlock.app.roles import ALL, Roles, roles_of
from interlock.errors import StoreInUse
from interlock.listen import Listeners
from interlock.runtime import settle_collector
from interlock.settings import Settings

OnStarted = Callable[[int | None], None]
"""Told the TCP port, or None, once requests are taken."""
log = logging.getLogger(__name__)
_START_TIMEOUT = 60.0
_PATIENCE, _LONG_PATIENCE = 5.0, 30.0
"""Seconds to wait for a process that has the data directory: for a server, and for a command, which ends."""
_PAUSE = 0.25


async def serve(
    settings: Settings,
    *,
    tcp: bool,
    place: Path,
    agents: bool,
    on_started: OnStarted,
    stop: asyncio.Event,
    roles: Roles = ALL,
) -> None:
    """Serve until `stop` is set: a local socket at `place` always, a TCP port where asked."""
    async with application(settings, roles=roles, agents=agents) as asgi:
        listeners = Listeners(asgi, settings, tcp=tcp, place=place)

        async def end() -> None:
            await stop.wait()
            listeners.stop()

        async with asyncio.TaskGroup() as group:
            ending = group.create_task(end())
            await listeners.run(on_started)
            ending.cancel()


def serve_patiently(settings: Settings, on_started: OnStarted) -> None:
    """Serve until SIGINT or SIGTERM; wait for a command that serves the directory for itself alone.

    Raises `StoreInUse` when it does not go away: sooner where it has the server's own socket.
    """
    _log(settings)
    with asyncio.Runner(loop_factory=_fast_loop) as runner:
        runner.run(_patiently(settings, on_started))


async def _patiently(settings: Settings, on_started: OnStarted) -> None:
    """Serve with the roles that the settings name, in one loop: between two, a signal would reach nobody."""
    stop, waited, roles = asyncio.Event(), 0.0, roles_of(settings.role)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready(port: int | None) -> None:
        settle_collector()
        on_started(port)

    while not stop.is_set():
        try:
            place = settings.socket
            return await serve(
                settings, tcp=True, place=place, agents=True, on_started=ready, stop=stop, roles=roles
            )
        except StoreInUse:
            longest = _PATIENCE if settings.socket.exists() else _LONG_PATIENCE
            if waited >= longest:
                raise
            if not waited:
                log.info("another process has the data directory: waiting for it, %.0f s at most", longest)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await stop.wait()
        waited += _PAUSE
    return None


@contextmanager
def serve_here(settings: Settings, place: Path, *, agents: bool) -> Generator[None]:
    """Serve the data directory on a local socket at `place`, from a thread, while the block runs.

    `agents` says whether they will call. Raises what kept it from starting: `StoreInUse`,
    `StoreUnavailable`.
    """
    background = _Background(settings, place, agents=agents)
    background.start()
    try:
        yield
    finally:
        background.stop()


class _Background:
    """One application in a thread with an event loop of its own."""

    def __init__(self, settings: Settings, place: Path, *, agents: bool) -> None:
        self._settings = settings
        self._place = place
        self._agents = agents
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._end: Callable[[], Any] = lambda: None
        self._thread = threading.Thread(target=self._run, name="interlock", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._started.wait(_START_TIMEOUT):
            raise TimeoutError("Interlock did not start in time.")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        self._end()
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_fast_loop if self._agents else None) as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - a thread's edge: handed to the thread that waits
            self._failure = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        self._end = lambda: loop.call_soon_threadsafe(stop.set)
        await serve(
            self._settings,
            tcp=False,
            place=self._place,
            agents=self._agents,
            on_started=lambda _: self._started.set(),
            stop=stop,
        )


def _fast_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _log(settings: Settings) -> None:
    """Log to standard error; of what others' libraries say, only warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("interlock").setLevel(settings.log_level.upper())
