"""`with interlock.run(...)` and `@interlock.tool(...)`: plain functions, governed (A5, E1, F2).

A governed function runs only inside a run. Each call is proposed first; it runs when the decision and, where
one is asked for, a person let it, and what it returned is on record. The same call with the same key after a
restart returns the recorded outcome and runs nothing.
"""

from __future__ import annotations

import asyncio
import functools
import queue
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar, Token
from pathlib import Path
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, overload

import httpx2

from interlock import errors
from interlock.core.canonical import NotCanonical, check, digest
from interlock.core.model import Json
from interlock.runtime import Runtime
from interlock.sdk.endpoint import Endpoint
from interlock.sdk.function import Ended, Function
from interlock.sdk.grant import RunGrant
from interlock.sdk.loop import Background
from interlock.sdk.proof import Proof, Wanted, prove
from interlock.sdk.result import Outcome, outcome
from interlock.sdk.session import WAITING, Call, Session, Ticket
from interlock.settings import launched_run, load

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

_TIMEOUT = httpx2.Timeout(30.0, read=600.0)
_current: ContextVar[Run | None] = ContextVar("interlock.run", default=None)
_open: list[Run] = []
_functions: dict[str, Function] = {}


class Tool(Generic[P, R_co]):
    """A governed function. Calling it proposes the call to the open run. `name` is the tool's dotted name."""

    def __init__(self, function: Function, *, key: str = "") -> None:
        self._function = function
        self._key = key
        functools.update_wrapper(self, function.code)

    @property
    def name(self) -> str:
        """The dotted name under which the manifest speaks of it."""
        return self._function.name

    def keyed(self, key: str) -> Tool[P, R_co]:
        """Return this function with a key of the caller's for one call: the same key is the same call."""
        return Tool(self._function, key=key)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run it, if it may. Raises its own errors, or a `CallError` where it gave no result."""
        run, arguments = _the_run(self.name), self._function.bind(args, kwargs)
        if self._function.asynchronous:
            return cast("R_co", _value_of(run.call_async(self._function, arguments, key=self._key)))
        return cast("R_co", run.call(self._function, arguments, key=self._key).value)

    @overload
    def outcome(
        self: Tool[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Outcome[T]]: ...
    @overload
    def outcome(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[R_co]: ...
    def outcome(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call it, and tell more than its value: the action, and until when a provisional one can settle.

        Awaited where the function is. Raises what a call raises.
        """
        run, arguments = _the_run(self.name), self._function.bind(args, kwargs)
        if self._function.asynchronous:
            return run.call_async(self._function, arguments, key=self._key)
        return run.call(self._function, arguments, key=self._key)


async def _value_of(called: Coroutine[Any, Any, Outcome[Any]]) -> Any:
    return (await called).value


def tool(name: str, *, undo: Tool[..., Any] | str = "") -> Callable[[Callable[P, R]], Tool[P, R]]:
    """Govern a function as the tool `name` (`server.tool`), of a `ToolServer` with `transport: sdk`.

    `undo` names the governed function that takes its effect back, as the manifest declares it: a run does
    not open where the two do not agree. Raises `UsageError` where the function's arguments have no names.
    """
    undone_by = undo if isinstance(undo, str) else undo.name

    def governed(code: Callable[P, R]) -> Tool[P, R]:
        function = Function.of(name, code, undo=undone_by)
        _functions[name] = function
        return Tool(function)

    return governed


class Run(AbstractContextManager["Run"]):
    """One run of `workflow`, for `with` or `async with`; governed functions are called inside.

    `resume` goes back into an open run by its id. `wait` is how long a call waits for a person, in seconds
    (None: as long as it takes; 0: not at all), before it raises `Pending`. The run is the signed-in person's,
    or the agent's own with its `agent_key` file. `url` names a server, `data` a data directory, which is
    served by this process where nobody else does; without either the settings say. In a program that
    `interlock run` launched the run is the launcher's. `id` names the run, once it is open.
    """

    def __init__(
        self,
        workflow: str = "",
        *,
        resume: str = "",
        wait: float | None = None,
        agent_key: Path | None = None,
        data: Path | None = None,
        url: str | None = None,
    ) -> None:
        self.id = resume
        self.workflow = workflow
        self._resume = resume
        self._wait = wait
        self._agent_key = agent_key
        self._settings = load(data=data, url=url)
        self._runtime = Runtime.real()
        self._stack = ExitStack()
        self._keys: Counter[str] = Counter()
        self._pending = self._failed = False
        self._reason = "the program could not begin"
        self._session: Session
        self._background: Background
        self._token: Token[Run | None] | None = None

    def __enter__(self) -> Self:
        """Open the run. Raises `InterlockError` where it is not given."""
        with ExitStack() as stack:
            self._background = Background()
            stack.callback(self._background.close)
            self._session = stack.enter_context(self._opened())
            self._wait_for(self._session.offer(_functions.values()))
            self._stack = stack.pop_all()
        _open.append(self)
        self._token = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End the run; one with a call that still waits stays open, so that it can be resumed.

        An error that ends it, other than `Pending`, says that the run has failed.
        """
        if self._token is not None:
            _current.reset(self._token)
        _open.remove(self)
        self._pending = self._pending or isinstance(error, errors.Pending)
        self._failed = error is not None and not isinstance(error, errors.Pending)
        self._reason = "the program ended" if kind is None else f"the program ended with {kind.__name__}"
        self._stack.close()

    async def __aenter__(self) -> Self:
        """Open the run without blocking the caller's loop."""
        await asyncio.to_thread(self.__enter__)
        self._token = _current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """End the run without blocking the caller's loop."""
        token, self._token = self._token, None
        if token is not None:
            _current.reset(token)
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def call(self, function: Function, arguments: Mapping[str, Json], *, key: str = "") -> Outcome[Any]:
        """Propose a call of a plain function and run it in this thread once it may run."""
        inbox: queue.SimpleQueue[tuple[Ticket, Future[Ended]] | None] = queue.SimpleQueue()

        async def run(ticket: Ticket) -> Ended:
            done: Future[Ended] = Future()
            inbox.put((ticket, done))
            return await asyncio.wrap_future(done)

        call = self._call(function, arguments, key, run)
        answer = self._background.submit(self._answer(function, call))
        answer.add_done_callback(lambda _: inbox.put(None))
        while (item := inbox.get()) is not None:
            ticket, done = item
            ended = function.run(ticket.arguments)
            done.set_result(ended)
            if isinstance(ended.error, BaseException) and not isinstance(ended.error, Exception):
                raise ended.error
        return self._outcome(answer.result(), call)

    async def call_async(
        self, function: Function, arguments: Mapping[str, Json], *, key: str = ""
    ) -> Outcome[Any]:
        """Propose a call of a coroutine function and run it in the caller's loop once it may run."""
        loop = asyncio.get_running_loop()

        async def run(ticket: Ticket) -> Ended:
            work = function.run_async(ticket.arguments)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

        call = self._call(function, arguments, key, run)
        answer = await asyncio.wrap_future(self._background.submit(self._answer(function, call)))
        return self._outcome(answer, call)

    async def _answer(self, function: Function, call: Call) -> dict[str, Any]:
        await self._session.offer([function])
        return await self._session.propose(call, wait=self._wait)

    def _call(
        self, function: Function, arguments: Mapping[str, Json], key: str, run: Callable[[Ticket], Any]
    ) -> Call:
        try:
            check(dict(arguments))
            said = digest(dict(arguments))
        except NotCanonical as error:
            raise errors.UsageError(f"The arguments of {function.name} are not JSON: {error}.") from error
        if not key:
            same = f"{function.name}:{said[:32]}"
            self._keys[same] += 1
            key = f"{same}:{self._keys[same]}"
        return Call(
            id=self._runtime.ids.new("call"), tool=function.name, arguments=arguments, key=key, run=run
        )

    def _outcome(self, answer: Mapping[str, Any], call: Call) -> Outcome[Any]:
        self._pending = self._pending or answer.get("state") in WAITING
        return outcome(answer, call.ended, run=self.id)

    @contextmanager
    def _opened(self) -> Generator[Session]:
        launched = launched_run()
        if launched:
            with self._client(Endpoint(base_url=launched)) as client:
                yield from self._talking(Session(client=client, runtime=self._runtime))
            return
        from interlock.sdk.local import endpoint

        with endpoint(self._settings) as place, self._client(place) as client:
            grant = RunGrant(client, self._runtime.clock)
            self._wait_for(grant.open(self._proof(place)))
            self.id, self.workflow = grant.run, grant.workflow
            try:
                yield from self._talking(Session(client=client, runtime=self._runtime, grant=grant))
            finally:
                self._wait_for(grant.give_up(self._reason, keep_waiting=self._pending, failed=self._failed))

    def _talking(self, session: Session) -> Generator[Session]:
        keeping = self._background.submit(session.keep())
        try:
            yield session
        finally:
            keeping.cancel()
            self._wait_for(session.close())

    @contextmanager
    def _client(self, place: Endpoint) -> Generator[httpx2.AsyncClient]:
        client = httpx2.AsyncClient(
            base_url=place.base_url, transport=place.async_transport(), timeout=_TIMEOUT
        )
        try:
            yield client
        finally:
            self._wait_for(client.aclose())

    def _proof(self, place: Endpoint) -> Proof:
        """Return what opens the run: the agent's own key, or a one-time code for who is signed in."""
        if not self.workflow and not (self._resume and self._agent_key):
            raise errors.UsageError("Say which workflow this is a run of.", hint='interlock.run("refunds")')
        wanted = Wanted(workflow=self.workflow, agent_key=self._agent_key, run=self._resume)
        return prove(wanted, place, self._settings, otherwise=": agent_key=Path(...)")

    def _wait_for(self, work: Any) -> Any:
        return self._background.submit(work).result()


run = Run


def _the_run(name: str) -> Run:
    run = _current.get() or (_open[0] if len(_open) == 1 else None)
    if run is None:
        raise errors.UsageError(
            f"{name} is governed, and no run is open here, so it was not called.",
            hint='Call it inside: with interlock.run("WORKFLOW")',
        )
    return run
