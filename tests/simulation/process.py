"""One life of the simulated engine: the real services, composed as the product composes them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tests.simulation.clock import SimulatedClock, simulated
from tests.simulation.loop import Chances, Future, Loop, Owner
from tests.simulation.outside import Outside
from tests.simulation.shop import STARTER, TOOLS, bundle
from tests.simulation.store import FaultyFile, SimulatedStore

from interlock.call.engine import Calls
from interlock.core.answer import Continuation, Proposal
from interlock.core.breaker import BreakerKind
from interlock.core.canonical import digest
from interlock.core.model import SECOND, Pin, Principal
from interlock.services.approve import Approve
from interlock.services.cancel import Cancel
from interlock.services.close_run import close_run
from interlock.services.compensate import Compensate
from interlock.services.resolve import Resolve
from interlock.services.sign_off import SignOff
from interlock.services.trip import Breakers, trip_by_hand
from interlock.settings import Settings
from interlock.store import run_facts, run_starts
from interlock.store.memory import Memory
from interlock.store.recoveries import Recoveries


class Gone(Exception):
    """The process died before it answered."""


class Process:
    """The engine from its start to its end. Whoever asks it hears `Gone` when it dies first."""

    def __init__(
        self, name: str, *, loop: Loop, clock: SimulatedClock, chances: Chances, file: FaultyFile,
        outside: Outside, settings: Settings,
    ) -> None:  # fmt: skip
        self.owner = Owner(name)
        self.loop, self.clock = loop, clock
        self._file, self._outside, self._settings = file, outside, settings
        self.runtime = simulated(clock, chances.of("process"))
        self._chance = chances.of("store")
        self._asked: dict[int, Future] = {}

    async def start(self) -> None:
        """Load what is on record and begin, in the order of the product. Raises `StoreError`."""
        self.store = SimulatedStore(
            self._file, loop=self.loop, owner=self.owner, runtime=self.runtime, chance=self._chance
        )
        self.memory = memory = Memory(environment=self._settings.environment)
        for facts in await self.store.read(lambda found: list(run_facts.load_facts(found))):
            memory.open_run(facts)
        memory.put_bundle(bundle(), version=1)
        for tool in TOOLS:
            pin = Pin(tool=tool.name, digest=f"pin of {tool.name}", seen=f"pin of {tool.name}")
            memory.set_pin(pin, lambda _: None)
        recoveries = Recoveries(memory)
        self.store.land(recoveries.land)
        self.store.follow(recoveries.follow)
        self.breakers = Breakers(store=self.store, memory=memory)
        self.store.follow(self.breakers.follow)
        await self.breakers.load()
        self.calls = Calls(
            store=self.store, memory=memory, executor=self._outside, runtime=self.runtime,
            settings=self._settings, counts=self.breakers.of_read,
        )  # fmt: skip
        self.sign_off = SignOff(
            store=self.store, memory=memory, runtime=self.runtime, settings=self._settings
        )
        self.people = Approve(
            store=self.store, memory=memory, runtime=self.runtime, process=self.calls.process,
            measure=self.calls.measure.reach,
        )  # fmt: skip
        self.compensate = Compensate(store=self.store, memory=memory)
        self.cancel = Cancel(store=self.store, memory=memory)
        self.resolve = Resolve(store=self.store, memory=memory)
        await self.calls.start()

    def ask(self, work: Callable[[Process], Coroutine[Any, Any, Any]]) -> Future:
        """Have `work` done in the process and return what will hold its answer, for the world to await."""
        with self.loop.owned(None):
            answer = self.loop.create_future()
        self._asked[answer.number] = answer
        with self.loop.owned(self.owner):
            task = self.loop.create_task(work(self), name=f"request {answer.number}")
            task.add_done_callback(lambda done: self._answered(answer, done))

        def leave(answer: Any) -> None:
            if answer.cancelled() and not task.done():
                with self.loop.owned(self.owner):
                    task.cancel()

        answer.add_done_callback(leave)
        return answer

    def _answered(self, answer: Future, task: Any) -> None:
        self._asked.pop(answer.number, None)
        error = Gone() if task.cancelled() else task.exception()
        with self.loop.owned(None):
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(task.result())

    def die(self) -> None:
        """End at once. What was not committed is gone; whoever waited hears nothing any more."""
        self.loop.end(self.owner)
        if hasattr(self, "store"):
            self.store.close_now()
        with self.loop.owned(None):
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(Gone())
        self._asked.clear()

    async def open_run(self) -> str:
        """Open a run and return its id."""
        start = run_starts.RunStart(
            workflow="orders", agent="bot", started_by=STARTER.name, lease_until=self.clock.now() + 10**13
        )
        return (await self.store.transact(lambda each: run_starts.start(each, self.memory, start)))[0].id

    async def close_run(self, run: str, *, failed: bool) -> None:
        """End a run as a person does, or as its launcher does whose program failed."""
        person = "" if failed else "maria"
        await close_run(
            store=self.store, memory=self.memory, run=run, reason="enough", by=person or "launcher",
            person=person, failed=failed,
        )  # fmt: skip

    async def trip(self, kind: BreakerKind, name: str) -> None:
        """Open a breaker as a person does."""
        await trip_by_hand(
            store=self.store, memory=self.memory, kind=kind, name=name, by="maria", reason="odd"
        )

    def proposal(
        self, run: str, tool: str, arguments: Mapping[str, Any], given: Continuation | None
    ) -> Proposal:
        """Return one call as an agent proposes it."""
        return Proposal(
            principal=self.principal(run), tool=tool, arguments=arguments, digest=digest(dict(arguments)),
            continuation=given,
        )  # fmt: skip

    def principal(self, run: str) -> Principal:
        """Return the caller that a token of the run names."""
        return Principal(
            agent="bot", owner="maria", workflow="orders", workflow_version=1, run=run,
            environment=self._settings.environment, token_id="tok_1", key_id="key_1", epoch=1,
            expires_at=self.clock.now() + 600 * SECOND,
        )  # fmt: skip
