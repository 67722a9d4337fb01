"""The composition root: settings in, a wired application out. The only place that builds things."""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.call.engine import Calls
from interlock.core.document.tool import ToolServer
from interlock.core.rotation import validity
from interlock.gateway.llm.front import LlmGateway
from interlock.listen import Asgi, Listeners
from interlock.model_call import ModelCalls
from interlock.runtime import Runtime, settle_collector
from interlock.services.authenticate import Authenticator
from interlock.services.checkpoint import checkpoint
from interlock.services.degrade import Degrade
from interlock.services.expire_runs import EVERY, expire_runs
from interlock.services.import_prices import Prices
from interlock.services.kill import KillSwitch
from interlock.services.load_bundle import load_bundle
from interlock.services.pay import Pay
from interlock.services.register import Registrar
from interlock.services.send import Send
from interlock.services.spend import Spend
from interlock.settings import Settings, child_environment, secret
from interlock.store import revocations, run_facts
from interlock.store.budgets import Budgets
from interlock.store.database import Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.upstream.declared import DeclaredServers
from interlock.upstream.llm.providers import Providers
from interlock.upstream.tokenizer import Tokenizer
from interlock.web.api import build_api
from interlock.wiring import Wired
from interlock.worker.contexts import context_job
from interlock.worker.jobs import Job
from interlock.worker.jobs import start as start_jobs
from interlock.worker.notices import notice_jobs

if TYPE_CHECKING:
    from interlock.gateway.mcp.front import McpGateway
    from interlock.upstream.llm.transport import Transport
    from interlock.upstream.mcp.pool import ToolServers

OnStarted = Callable[[int | None], None]
_SWEEP = 30.0
_MODEL_PATHS = "/v1/"
_METADATA = "/.well-known/oauth-protected-resource"
_START_TIMEOUT = 60.0


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime | None = None) -> AsyncGenerator[Wired]:
    """Yield everything one process works with, opened in order and closed in reverse.

    Raises `StoreInUse` when another process owns the data directory, `StoreUnavailable` when the
    database cannot be used.
    """
    world = runtime or Runtime.real()
    store, tokenizer = Store.open(settings, world), Tokenizer()
    try:
        memory = await _load(store, settings, world)
        keyring = await Keyring.open(store, settings)
        servers = DeclaredServers(lambda: _pool(world), world)
        switch = KillSwitch(
            store=store, memory=memory, runtime=world, settings=settings, process=_this_process(settings)
        )
        await switch.load()
        prices = Prices(store=store, memory=memory, runtime=world)
        budgets = Budgets(store=store, memory=memory, runtime=world)
        spend = Spend(
            memory=memory,
            budgets=budgets,
            book=lambda: prices.book,
            ready=prices.ready,
            runtime=world,
            tokenizer=tokenizer,
        )
        registrar = Registrar(store=store, memory=memory, servers=servers, runtime=world)
        yield Wired(
            settings=settings,
            runtime=world,
            store=store,
            memory=memory,
            keyring=keyring,
            authenticator=Authenticator(
                store=store, keyring=keyring, memory=memory, runtime=world, issuer=settings.issuer_url
            ),
            servers=servers,
            registrar=registrar,
            budgets=budgets,
            prices=prices,
            calls=Calls(
                store=store,
                memory=memory,
                executor=Pay(
                    executor=Send(executor=servers, memory=memory),
                    memory=memory,
                    budgets=budgets,
                    runtime=world,
                ),
                runtime=world,
                settings=settings,
            ),
            kill=switch,
            models=ModelCalls(
                store=store,
                memory=memory,
                providers=Providers(_http, secret=secret, clock=world.clock),
                spend=spend,
                degrade=Degrade(memory=memory, price=spend.price, habits=spend.habits),
                runtime=world,
            ),
        )
    finally:
        tokenizer.close()
        await store.close()


@asynccontextmanager
async def application(
    settings: Settings, runtime: Runtime | None = None, *, agents: bool = True
) -> AsyncGenerator[Asgi]:
    """Yield the running application: gateways, API and clock work, without a listener.

    Where `agents` are expected, the gateway and the tool servers are started before the first call;
    elsewhere only if something needs them.
    """
    async with wire(settings, runtime) as wired:
        front, jobs = _Front(wired), _jobs(wired)
        if agents:
            await front.open()
            wired.models.providers.open()
        await wired.registrar.start()
        if agents:
            await wired.prices.start()
            await wired.budgets.start()
        await wired.calls.start(lasting=agents)
        stop_jobs = start_jobs(jobs, wired.runtime)
        try:
            yield _dispatch(front, LlmGateway(wired), build_api(wired))
        finally:
            stop_jobs()
            await front.close()
            await wired.calls.close()
            await wired.servers.close()
            await wired.models.providers.close()
            await wired.budgets.close()


async def serve(
    settings: Settings, *, tcp: bool, place: Path, agents: bool, on_started: OnStarted, stop: asyncio.Event
) -> None:
    """Serve until `stop` is set: a local socket at `place` always, a TCP port where asked."""
    async with application(settings, agents=agents) as asgi:
        listeners = Listeners(asgi, settings, tcp=tcp, place=place)

        async def end() -> None:
            await stop.wait()
            listeners.stop()

        async with asyncio.TaskGroup() as group:
            ending = group.create_task(end())
            await listeners.run(on_started)
            ending.cancel()


def serve_forever(settings: Settings, on_started: OnStarted) -> None:
    """Serve in this process until SIGINT or SIGTERM."""
    _log(settings)

    def ready(port: int | None) -> None:
        settle_collector()
        on_started(port)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(settings, tcp=True, place=settings.socket, agents=True, on_started=ready, stop=stop)

    with asyncio.Runner(loop_factory=_fast_loop) as runner:
        runner.run(main())


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


async def _load(store: Store, settings: Settings, runtime: Runtime) -> Memory:
    """Fill memory with what decisions read: revocations, runs and the bundle in force."""
    memory = Memory(environment=settings.environment)
    now = runtime.clock.now()
    memory.revoked = await store.read(lambda connection: revocations.load(connection, now))
    for facts in await store.read(lambda connection: list(run_facts.load_facts(connection))):
        memory.open_run(facts)
    await load_bundle(store, memory, settings)
    return memory


def _jobs(wired: Wired) -> list[Job]:
    """Return what runs by the clock in this process."""
    store, memory, settings, clock = wired.store, wired.memory, wired.settings, wired.runtime.clock

    def is_open(run: str) -> bool:
        facts = memory.runs.get(run)
        return facts is not None and facts.open

    return [
        Job(
            name="end lapsed runs",
            every=EVERY / 1_000_000,
            run=lambda: expire_runs(store=store, memory=memory, now=clock.now()),
        ),
        Job(
            name="audit checkpoint", every=settings.checkpoint_every, run=lambda: checkpoint(store, settings)
        ),
        Job(name="sweep tool servers", every=_SWEEP, run=lambda: wired.servers.sweep(is_open)),
        *notice_jobs(wired),
        context_job(wired),
    ]


def _this_process(settings: Settings) -> str:
    """Return how people know the process that serves this environment here, whenever it was started."""
    return f"{settings.environment} on {platform.node()}"


def _expired(server: ToolServer, now: int) -> str | None:
    """Say why a tool server's static credential must not be used any more, or None (H2)."""
    if validity(server.credentials.expires, now=now).usable:
        return None
    owner = server.credentials.owner or "its owner"
    return f"The credential of the tool server {server.name!r} has expired; {owner} must replace it."


def _http() -> Transport:
    from interlock.upstream.llm.client import HttpClient

    return HttpClient()


def _pool(runtime: Runtime) -> ToolServers:
    from interlock.upstream.mcp.pool import ToolServers

    return ToolServers(
        runtime=runtime,
        secret=secret,
        environment=child_environment(),
        refusal=lambda server: _expired(server, runtime.clock.now()),
    )


class _Front:
    """The gateway, opened once: in advance, or by the first request for it."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self._opening = asyncio.Lock()
        self._gateway: McpGateway | None = None

    async def open(self) -> McpGateway:
        async with self._opening:
            if self._gateway is None:
                from interlock.gateway.mcp.front import McpGateway

                gateway = McpGateway(self._wired)
                await gateway.start()
                self._gateway = gateway
        return self._gateway

    async def close(self) -> None:
        if self._gateway is not None:
            await self._gateway.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        gateway = self._gateway or await self.open()
        await gateway(scope, receive, send)


def _dispatch(front: Asgi, models: Asgi, api: Asgi) -> Asgi:
    """Send the call path to the gateways, with no framework on it, and the rest to the API."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path: str = scope.get("path", "")
        if path.startswith(_MODEL_PATHS):
            await models(scope, receive, send)
        elif path == "/mcp" or path.startswith(_METADATA):
            await front(scope, receive, send)
        else:
            await api(scope, receive, send)

    return app


def _fast_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _log(settings: Settings) -> None:
    """Log to standard error; of what others' libraries say, only warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("interlock").setLevel(settings.log_level.upper())
