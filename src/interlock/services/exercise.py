"""Try an undo out where it does no harm, and write down how that ended (E5).

The tool is called, then its undo, then its undo again, which must change nothing. That happens on a server
that stands in for the tool's own and defines both tools exactly as they are registered here; outside
production it may be the tool's own. In production an undo counts only once this went well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from interlock.core import compensation
from interlock.core.compensation import RECOVERY, NotBuilt
from interlock.core.document.tool import Companion, Tool
from interlock.core.model import PRODUCTION, Json, Principal
from interlock.errors import NotFound, StateConflict, UsageError
from interlock.runtime import Runtime
from interlock.store import exercises
from interlock.store.database import Store
from interlock.store.exercises import UNDONE, Exercise
from interlock.store.memory import Memory
from interlock.upstream.executor import Dispatch, Failed, InputNeeded, NotSent, Outcome, Succeeded, Unknown

Execute = Callable[[Dispatch, None], Awaitable[Outcome]]
Defined = Callable[[str, str], str | None]
"""Returns the hash of how a server, the first name, defines a tool, the second; None where it does not."""


async def load_exercises(store: Store, memory: Memory) -> None:
    """Know which undos were tried out. Raises `StoreUnavailable`."""
    found = await store.read(lambda connection: exercises.load(connection, memory))
    exercises.learn(memory, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOut:
    """Tries undos out through `execute`. `timeout` is in seconds, for each call."""

    store: Store
    memory: Memory
    runtime: Runtime
    execute: Execute
    defined: Defined
    timeout: int

    async def undo(self, name: str, *, arguments: Mapping[str, Json] | None, person: str) -> Exercise:
        """Try the undo of a tool out, and return the record of it.

        Raises `NotFound`, `UsageError` where nothing says on what or with what, `StateConflict` where the
        server that stands in defines a tool otherwise than it is registered here.
        """
        tool, undo = self._tool(name)
        server = self._server(tool)
        given = dict(arguments if arguments is not None else tool.exercise.arguments if tool.exercise else {})
        pin, undo_pin = self._same(name, server), self._same(undo.tool, server)
        check = self.memory.validators.get(name)
        if check is not None and (wrong := check(given)) is not None:
            raise UsageError(f"{name} does not accept these arguments: {wrong}", hint="--arguments FILE")
        problem = await self._problem(name, undo, server, given)
        exercise = Exercise(
            id=self.runtime.ids.new("exe"),
            environment=self.memory.environment,
            tool=name,
            pin=pin,
            undo=undo.tool,
            undo_pin=undo_pin,
            server=server,
            outcome="failed" if problem else UNDONE,
            problem=problem,
            by=person,
            at=self.store.now(),
        )
        await self.store.transact(lambda transaction: exercises.put(transaction, self.memory, exercise))
        return exercise

    def _tool(self, name: str) -> tuple[Tool, Companion]:
        compiled = None if self.memory.bundle is None else self.memory.bundle.tools.get(name)
        document = None if compiled is None else compiled.document
        if document is None:
            raise NotFound(f"There is no tool {name!r} in the manifest.", hint="interlock tools list")
        undo = document.taken_back_by
        if undo is None:
            raise UsageError(f"The manifest names no undo of {name}.", hint="Declare one: undo: {tool: …}")
        return document, undo

    def _server(self, tool: Tool) -> str:
        own = tool.name.partition(".")[0]
        server = own if tool.exercise is None else tool.exercise.server
        if server == own and self.memory.environment == PRODUCTION:
            raise UsageError(
                f"In production {tool.name} would do harm when it is tried out.",
                hint=f"Name a server that stands in: in the entry of {tool.name}, exercise: {{server: NAME}}",
            )
        return server

    def _same(self, name: str, server: str) -> str:
        """Return the pin of a tool that `server` defines as it is registered. Raises `StateConflict`."""
        pin, offered = self.memory.pins.get(name), self.defined(server, name.partition(".")[2])
        if pin is None or pin.drifted:
            raise StateConflict(f"The tool {name} is not registered as it is.", hint="interlock tools list")
        if offered != pin.digest:
            raise StateConflict(
                f"The server {server} does not define {name.partition('.')[2]} as it is registered here.",
                hint="Compare name, description and input schema: interlock tools pins",
            )
        return pin.digest

    async def _problem(self, name: str, undo: Companion, server: str, given: Mapping[str, Json]) -> str:
        """Call the tool, its undo, and its undo again; return what went wrong, "" for nothing."""
        run = self.runtime.ids.new("exr")
        done = await self._call(server, name, given, run)
        if not isinstance(done, Succeeded):
            return f"{name} {_said(done)}"
        try:
            arguments = compensation.render(undo.arguments, given, done.payload)
        except NotBuilt as missing:
            return f"the undo cannot be built: {missing}"
        key = self.runtime.ids.new("key")
        for time in ("", " the second time: an undo must do no harm when it is repeated"):
            undone = await self._call(server, undo.tool, arguments, run, key)
            if not isinstance(undone, Succeeded):
                return f"{undo.tool} {_said(undone)}{time}"
        return ""

    async def _call(
        self, server: str, tool: str, arguments: Mapping[str, Json], run: str, key: str = ""
    ) -> Outcome:
        principal = Principal(
            agent=RECOVERY,
            owner="",
            workflow="",
            workflow_version=0,
            run=run,
            environment=self.memory.environment,
            token_id="",
            key_id="",
            epoch=0,
            expires_at=0,
        )
        dispatch = Dispatch(
            action=None,
            server=server,
            tool=tool.partition(".")[2],
            arguments=arguments,
            principal=principal,
            timeout=float(self.timeout),
            idempotency_key=key or self.runtime.ids.new("key"),
        )
        return await self.execute(dispatch, None)


def _said(outcome: Outcome) -> str:
    """Say how a call ended. What a tool says about its failure could quote anything, so it is left out."""
    match outcome:
        case Failed():
            return "failed"
        case Unknown():
            return "gave no answer in time"
        case NotSent():
            return "could not be sent: its server cannot be reached"
        case InputNeeded():
            return "asked for input"
        case Succeeded():
            return "succeeded"
