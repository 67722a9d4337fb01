"""An event loop without a world: time is a number, and what runs next is drawn from a seed.

Nothing here reads a clock, starts a thread or opens a socket, so the same seed takes the same steps. A step
is the code between two awaits. Every step belongs to somebody: to a process, which can be stopped for a
while or killed between any two of its steps, or to nobody, which is the world that goes on.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import random
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


class Killed(BaseException):
    """The process that was running ends here, in the middle of a step."""


@dataclass(eq=False, slots=True)
class Owner:
    """Whose step it is. What was left to do of one that is dead is never done."""

    name: str
    dead: bool = False
    stopped_until: float = 0.0
    steps: int = 0


class Future(asyncio.Future[Any]):
    """A future whose place in a set does not depend on where it lies in memory."""

    def __init__(self, loop: Loop) -> None:
        self.number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    __eq__ = object.__eq__


class Task(asyncio.Task[Any]):
    """A task with a number instead of an address, and an owner."""

    def __init__(self, work: Coroutine[Any, Any, Any], *, loop: Loop, name: str, context: Context | None):
        self.number = loop.next_number()
        self.owner = loop.owner
        super().__init__(work, loop=loop, name=name or f"task {self.number}", context=context)

    def __hash__(self) -> int:
        return self.number

    __eq__ = object.__eq__


class Step(asyncio.TimerHandle):
    """One step that waits for its turn."""

    def __init__(
        self, when: float, call: Callable[..., Any], args: Any, loop: Loop, context: Context | None
    ) -> None:
        super().__init__(when, call, args, loop, context)
        whose = getattr(call, "__self__", None)
        self.task = whose if isinstance(whose, Task) else None
        self.owner = self.task.owner if self.task is not None else loop.owner

    @property
    def gone(self) -> bool:
        """Whether it will never run."""
        return self.cancelled() or (self.owner is not None and self.owner.dead)


@dataclass(eq=False)
class Trouble:
    """What nobody caught."""

    message: str
    error: BaseException | None


class Loop(asyncio.AbstractEventLoop):
    """The scheduler. With `shuffle` the tasks that could go on do so in an order drawn from `chance`.

    Plain callbacks keep their order, as every event loop promises.
    """

    def __init__(self, chance: random.Random, *, shuffle: bool) -> None:
        self._chance = chance
        self._shuffle = shuffle
        self._time = 0.0
        self._numbers = 0
        self._ready: list[Step] = []
        self._timers: list[tuple[float, int, Step]] = []
        self._tasks: list[Task] = []
        self._digest = sha256()
        self.owner: Owner | None = None
        self.steps = 0
        self.kill_at: Callable[[Owner], bool] = lambda _: False
        self.killed: Owner | None = None
        self.trouble: list[Trouble] = []

    def time(self) -> float:
        return self._time

    def next_number(self) -> int:
        """Return a number that was not given out yet."""
        self._numbers += 1
        return self._numbers

    @property
    def fingerprint(self) -> str:
        """What tells this course of events from another one."""
        return self._digest.hexdigest()

    def note(self, what: str) -> None:
        """Let the fingerprint depend on `what` too."""
        self._digest.update(what.encode())

    @contextmanager
    def owned(self, owner: Owner | None) -> Generator[None]:
        """Let what is begun here belong to `owner`."""
        was, self.owner = self.owner, owner
        try:
            yield
        finally:
            self.owner = was

    def run(self, until: asyncio.Future[Any], *, most: int) -> Owner | None:
        """Take steps until `until` is done; return the process that was killed before, if one was.

        Raises `RuntimeError` when nothing is left to do, or after `most` steps.
        """
        self.killed = None
        events._set_running_loop(self)
        try:
            while not until.done() and self.killed is None:
                if self.steps >= most:
                    raise RuntimeError(f"the story does not end: {most} steps were taken")
                self._take(self._next())
        finally:
            events._set_running_loop(None)
        return self.killed

    def end(self, owner: Owner) -> None:
        """Kill a process: nothing of it runs any more, and what it held in memory is gone."""
        owner.dead = True
        was = events._get_running_loop()
        events._set_running_loop(self)
        with self.owned(owner):
            while left := [each for each in self._tasks if each.owner is owner and not each.done()]:
                # What is given up may begin something on its way out: that is given up in the next round.
                self._tasks = [each for each in self._tasks if each.owner is not owner and not each.done()]
                for task in left:
                    task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
                    _close(task.get_coro())
        events._set_running_loop(was)
        self._ready = [each for each in self._ready if not each.gone]

    def _next(self) -> Step:
        while True:
            while self._timers and self._timers[0][0] <= self._time:
                step = heapq.heappop(self._timers)[2]
                if not step.gone:
                    self._ready.append(step)
            able = [at for at, each in enumerate(self._ready) if self._able(each)]
            if able:
                return self._ready.pop(self._choice(able))
            self._ready = [each for each in self._ready if not each.gone]
            self._advance()

    def _able(self, step: Step) -> bool:
        return not step.gone and (step.owner is None or step.owner.stopped_until <= self._time)

    def _choice(self, able: list[int]) -> int:
        """Return which of the steps comes next: any task's, or the first callback of each owner."""
        if not self._shuffle or len(able) == 1:
            return able[0]
        told: set[str] = set()
        open_: list[int] = []
        for at in able:
            step = self._ready[at]
            name = "" if step.owner is None else step.owner.name
            if step.task is not None or name not in told:
                open_.append(at)
            if step.task is None:
                told.add(name)
        return open_[self._chance.randrange(len(open_))]

    def _advance(self) -> None:
        """Let time pass until something can happen."""
        moments = [each.owner.stopped_until for each in self._ready if each.owner is not None]
        while self._timers and self._timers[0][2].gone:
            heapq.heappop(self._timers)
        if self._timers:
            moments.append(self._timers[0][0])
        if not moments:
            raise RuntimeError("nothing is left to do, and the story is not over")
        self._time = max(self._time, min(moments))

    def _take(self, step: Step) -> None:
        owner = step.owner
        self.steps += 1
        self.note(f"{self._time:.6f} {owner and owner.name} {step.task and step.task.get_name()}\n")
        if owner is not None:
            owner.steps += 1
            if self.kill_at(owner):
                self.killed = owner
                return
        self.owner = owner
        step._run()
        self.owner = None

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Step:
        step = Step(self._time, callback, args, self, context)
        self._ready.append(step)
        return step

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        return self.call_at(self._time + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        step = Step(when, callback, args, self, context)
        step._scheduled = True
        heapq.heappush(self._timers, (when, self.next_number(), step))
        return step

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Future:  # type: ignore[override]
        """Do it a little later, as another thread would, in a step of its own."""
        future = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - it is the awaiter's
                future.set_exception(error)

        self.call_later(self._chance.random() * 0.01, work)
        return future

    def create_future(self) -> Future:
        return Future(self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> Task:
        task = Task(coro, loop=self, name=name or "", context=context)
        self._tasks.append(task)
        if len(self._tasks) > 500:
            self._tasks = [each for each in self._tasks if not each.done()]
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        owner = getattr(context.get("task") or context.get("future"), "owner", None)
        unheard = isinstance(context.get("future"), Future) and "never retrieved" in str(
            context.get("message")
        )
        if not (unheard or isinstance(error, Killed) or (isinstance(owner, Owner) and owner.dead)):
            self.trouble.append(Trouble(str(context.get("message")), error))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, _: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""


@dataclass(slots=True, eq=False)
class Chances:
    """Sources of chance that do not disturb each other: one more draw here changes nothing there."""

    seed: int
    _known: dict[str, random.Random] = field(default_factory=dict[str, random.Random])

    def of(self, name: str) -> random.Random:
        """Return the source of that name."""
        return self._known.setdefault(name, random.Random(f"{self.seed}:{name}"))


def _close(work: Any) -> None:
    """Give up a coroutine where it stands, and what it was handed. What they do about that goes nowhere."""
    handed = [] if work.cr_frame is None else list(work.cr_frame.f_locals.values())
    for each in handed:
        if inspect.iscoroutine(each) and inspect.getcoroutinestate(each) == inspect.CORO_CREATED:
            each.close()
    for _ in range(3):
        try:
            work.close()
            return
        except BaseException:  # noqa: BLE001, S110 - the process is dead: nobody hears of it
            pass
