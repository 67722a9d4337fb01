"""One simulation, from its seed to its end: what happens to the engine, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from tests.simulation import check
from tests.simulation.actors import Agent, Approver, Janitor, nature
from tests.simulation.clock import SimulatedClock
from tests.simulation.loop import Chances, Future, Loop, Owner
from tests.simulation.menders import Mender, Signer
from tests.simulation.outside import Outside
from tests.simulation.process import Gone, Process
from tests.simulation.shop import UNDOS, Place, place
from tests.simulation.store import Fate, Faults

from interlock.core.action import OPEN, ActionState
from interlock.core.answer import Answer
from interlock.errors import InterlockError
from interlock.store.schema import actions, breakers
from interlock.upstream.executor import Dispatch

_LONG = 18.0
_MOST_STEPS = 60_000
_ROUNDS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How rough a story is. All of it follows from the seed; `kill_at` adds one kill at a step."""

    seed: int
    agents: int
    orders: int
    trouble: float
    lost: float
    unknown: float
    unreadable: float
    shuffle: bool
    kill_steps: tuple[int, ...]
    kill_commits: tuple[tuple[int, Fate], ...]
    steady: bool = False
    """Whether nobody sets the clock while things go wrong: then what it says of leases is to be trusted."""
    quiet: bool = False
    """Whether nobody sets the clock, stops the process or ends a run."""

    @classmethod
    def of(cls, seed: int) -> Plan:
        """Draw a plan."""
        chance = random.Random(f"{seed}:plan")
        rough = chance.choice((0.0, 0.3, 1.0))
        kills = chance.choice((0, 1, 1, 2, 4))
        fates = (Fate.KILLED_BEFORE, Fate.KILLED_AFTER)
        return cls(
            seed=seed,
            agents=chance.randint(1, 3),
            orders=chance.randint(2, 4),
            trouble=chance.choice((0.0, 0.15, 0.4)),
            lost=rough * 0.05,
            unknown=rough * 0.06,
            unreadable=rough * 0.02,
            shuffle=chance.random() < 0.5,
            steady=chance.random() < 0.5,
            kill_steps=tuple(sorted(chance.randint(1, 1500) for _ in range(kills))),
            kill_commits=tuple((chance.randint(1, 120), chance.choice(fates)) for _ in range(kills)),
        )

    @classmethod
    def smooth(cls, *, seed: int) -> Plan:
        """Return a small plan in which nothing goes wrong."""
        return cls(
            seed=seed, agents=2, orders=3, trouble=0.0, lost=0.0, unknown=0.0, unreadable=0.0, shuffle=False,
            kill_steps=(), kill_commits=(), quiet=True,
        )  # fmt: skip

    @classmethod
    def eventful(cls, *, seed: int) -> Plan:
        """Return a small plan of tools that fail, runs that are undone, and breakers that open."""
        return replace(cls.smooth(seed=seed), orders=4, trouble=0.3, steady=True, quiet=False)

    def killed_at(self, step: int) -> Plan:
        """Return the plan with one kill, before a step of the engine."""
        return replace(self, kill_steps=(step,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a story ended. `violations` is empty when everything held."""

    seed: int
    violations: tuple[str, ...]
    fingerprint: str
    steps: int
    kills: int
    effects: int
    actions: int
    undone: int
    """How many of the effects undid another one."""
    openings: int
    """How often a breaker opened."""
    lines: tuple[str, ...]


@dataclass(eq=False)
class Story:
    """The world of one simulation."""

    plan: Plan
    place: Place
    trace: Callable[[str], None] | None = None
    runs: list[str] = field(default_factory=list[str])
    over: bool = False
    process: Process | None = None
    kills: int = 0
    decided: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    heard: list[tuple[str, Answer]] = field(default_factory=list[tuple[str, Answer]])
    gave_up: set[int] = field(default_factory=set[int])
    violations: list[str] = field(default_factory=list[str])
    lines: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        plan = self.plan
        self.chances = Chances(plan.seed)
        self.loop = Loop(self.chances.of("loop"), shuffle=plan.shuffle)
        self.clock = SimulatedClock(self.loop)
        self.file = self.place.anew()
        self.file.loop, self.file.told = self.loop, self.told
        self.file.faults = Faults(
            self.chances.of("faults"), lost=plan.lost, unknown=plan.unknown, unreadable=plan.unreadable,
            kills=dict(plan.kill_commits),
        )  # fmt: skip
        self.outside = Outside(
            self.loop, self.chances.of("outside"), plan.seed, plan.trouble, self.told, self._sent,
            steady=plan.steady or plan.quiet,
        )  # fmt: skip
        self._kills = list(plan.kill_steps)
        self._steps = 0
        self.loop.kill_at = self._kill_now
        self._waiting: list[Future] = []
        self._dead: Process | None = None

    @classmethod
    def of(cls, plan: Plan, trace: Callable[[str], None] | None = None) -> Story:
        """Return the story of a plan, before anything has happened."""
        return cls(plan, place(), trace)

    def tell(self) -> Told:
        """Let it happen, and check it."""
        with _listening() as said, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="coroutine .* was never awaited")  # of a killed process
            try:
                self._run()
                check.everything(self)
            except RuntimeError as error:
                self.wrong(str(error))
            finally:
                if self.process is not None:
                    self.process.die()
                for task in self._mine:
                    task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
        for each in said:
            self.wrong(f"an error was logged: {each}")
        for each in self.loop.trouble:
            self.wrong(f"nobody caught: {each.message}: {each.error!r}")
        return Told(
            seed=self.plan.seed,
            violations=tuple(self.violations),
            fingerprint=self.loop.fingerprint,
            steps=self.loop.steps,
            kills=self.kills,
            effects=len(self.outside.effects),
            actions=self.look(sa.select(sa.func.count()).select_from(actions))[0][0],
            undone=sum(each.tool in UNDOS for each in self.outside.effects),
            openings=self.look(sa.select(sa.func.coalesce(sa.func.sum(breakers.c.opening), 0)))[0][0],
            lines=tuple(self.lines),
        )

    def told(self, what: str) -> None:
        """Keep what happened, for whoever replays it."""
        line = f"{self.loop.time():9.4f} {what}"
        self.loop.note(line)
        self.lines.append(line)
        if self.trace is not None:
            self.trace(line)

    def wrong(self, what: str) -> None:
        """Keep a violation."""
        self.told(f"VIOLATION {what}")
        self.violations.append(what)

    def hear(self, order: int, tool: str, answer: Answer) -> None:
        """Keep what an agent was told."""
        self.heard.append((tool, answer))
        self.told(f"heard {tool} {order}: {type(answer).__name__} {getattr(answer, 'action', '')}")

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock."""
        self.clock.ahead += seconds
        self.told(f"the clock is set by {seconds:.1f} s")

    def look(self, query: Any) -> list[Any]:
        """Return rows as they are on the disk now."""
        with self.file.readers.connect() as connection:
            return list(connection.execute(query).all())

    async def ask(self, work: Callable[[Process], Coroutine[Any, Any, Any]]) -> Future:
        """Have something done by the process that is there, once there is one."""
        while self.process is None:
            waiting = self.loop.create_future()
            self._waiting.append(waiting)
            await waiting
        return self.process.ask(work)

    def _sent(self, dispatch: Dispatch) -> None:
        check.sent(self, dispatch)

    def _kill_now(self, owner: Owner) -> bool:
        self._steps += 1
        if not self.over and self._kills and self._steps >= self._kills[0]:
            self._kills.pop(0)
            return True
        return False

    def _run(self) -> None:
        with self.loop.owned(None):
            self._mine: list[Any] = [self.loop.create_task(self._direct(), name="story")]
        story = self._mine[0]
        self._begin()
        while not story.done():
            if self.loop.run(story, most=_MOST_STEPS) is not None:
                self._killed()
        story.result()

    def _killed(self) -> None:
        assert self.process is not None or self._starting is not None
        self.kills += 1
        self.told("the process is killed")
        dead, self.process = self._starting, None
        self._dead = dead
        dead.die()
        check.disk(self)
        with self.loop.owned(None):
            self.loop.call_later(self.chances.of("story").random() * 1.5, self._begin)

    def _begin(self) -> None:
        """Start the engine anew; a start that the store refuses is tried again."""
        self._starting = Process(
            f"life {self.kills}", loop=self.loop, clock=self.clock, chances=self.chances, file=self.file,
            outside=self.outside, settings=self.place.settings,
        )  # fmt: skip
        self.told("a process starts")
        begun = self._starting.ask(lambda process: process.start())
        begun.add_done_callback(self._begun)

    def _begun(self, begun: Any) -> None:
        error = begun.exception()
        if isinstance(error, Gone) or self._starting is self._dead:  # it may die as it is up
            return
        if error is not None:
            self._starting.die()
            if not isinstance(error, InterlockError):
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.wrong(f"the start failed: {error!r} at {where.filename}:{where.lineno}")
            with self.loop.owned(None):
                self.loop.call_later(0.5, self._begin)
            return
        self.process = self._starting
        self.told("the process is up")
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.set_result(None)

    async def _direct(self) -> None:
        await self.open_runs()
        chances, plan = self.chances, self.plan
        agents = [
            self._act(
                Agent(self, each, chances.of(f"agent {each}"), self._orders(each)).work(), f"agent {each}"
            )
            for each in range(plan.agents)
        ]
        for which in (0, 1):
            self._act(Approver(self, which, chances.of(f"approver {which}")).work(), f"approver {which}")
        self._act(Janitor(self, chances.of("janitor")).work(), "janitor")
        ending = [self._act(Mender(self, chances.of("mender")).work(), "mender")]
        self._act(Signer(self, chances.of("signer")).work(), "signer")
        if not plan.quiet:
            ending.append(self._act(nature(self, chances.of("nature")), "nature"))
        await asyncio.wait(agents, timeout=_LONG)
        self._heal()
        await asyncio.wait(ending)
        await self._settle()
        await self._close()

    def _orders(self, agent: int) -> range:
        return range(agent * 100, agent * 100 + self.plan.orders)

    def _act(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = self.loop.create_task(work, name=name)
        self._mine.append(task)
        return task

    async def open_runs(self) -> None:
        """See to it that there are two runs to work in."""
        while len(self.runs) < 2:
            try:
                self.runs.append(await (await self.ask(lambda process: process.open_run())))
            except (Gone, InterlockError):
                await asyncio.sleep(0.3)

    def _heal(self) -> None:
        """From now on nothing goes wrong any more: whatever is open must come to its end."""
        self.told("from here on all is well")
        self.over = True
        self.file.faults.on = False
        self.outside.smooth = True

    async def _settle(self) -> None:
        states = [
            *sorted(OPEN - {ActionState.AWAITING_INPUT}),
            "in_doubt",
            "compensating",
        ]  # nobody must answer a question
        query = sa.select(actions.c.id, actions.c.state).where(actions.c.state.in_(states))
        for _ in range(_ROUNDS):
            await asyncio.sleep(2.0)
            if self.process is not None and not self.look(query):
                return
            self.set_clock(12.0)
        for name, state in self.look(query):
            self.wrong(f"lost: {name} is {state} although nothing stands in its way")

    async def _close(self) -> None:
        """Let the process note what it has told, then stop it in order."""
        await asyncio.sleep(0.6)
        await (await self.ask(lambda process: process.calls.close()))
        await asyncio.sleep(0.6)


@contextmanager
def _listening() -> Generator[list[str]]:
    """Collect what the engine logs as a fault of its own, and keep it off the screen."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.getMessage() != "the executor failed":
                said.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

    logger, ear = logging.getLogger("interlock"), Ear(logging.WARNING)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(ear)
    try:
        yield said
    finally:
        logger.removeHandler(ear)
        logger.propagate = propagated


def tell(seed: int, *, trace: Callable[[str], None] | None = None) -> Told:
    """Simulate a seed."""
    return Story.of(Plan.of(seed), trace).tell()
