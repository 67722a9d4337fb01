"""Who acts in a simulation: agents with orders, people who decide, stop and clear up, a clock that is set.

They are the world's, not the engine's: when it dies they hear nothing, and come back with the same request.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from tests.simulation.process import Gone, Process
from tests.simulation.shop import PEOPLE

from interlock.core.action import OPEN
from interlock.core.answer import (
    Broken,
    Completed,
    Continuation,
    InDoubt,
    InputAsked,
    Refused,
    TurnedDown,
    Waiting,
)
from interlock.errors import InterlockError
from interlock.store.schema import actions, approvals

if TYPE_CHECKING:
    from tests.simulation.story import Story

_TOOLS = (
    *("shop.write",) * 4, *("shop.refund",) * 5, *("shop.note",) * 4, *("shop.credit",) * 3,
    *("shop.pay",) * 4, *("shop.later",) * 2, "shop.slowly", "shop.ask", "shop.ask", "shop.read", "shop.peek",
)  # fmt: skip
_LOOPED = "shop.read"
"""The tool that programs call in a loop now and then, with the same arguments."""
_NOT_SENT = "The call was not sent"


class Agent:
    """A program that must get its orders done, and asks again when it hears nothing."""

    def __init__(self, story: Story, name: int, chance: random.Random, orders: range) -> None:
        self._story, self._chance, self._name = story, chance, name
        self._orders = orders
        self._twice = False

    async def work(self) -> None:
        """See every order through."""
        for number in self._orders:
            if self._story.over:
                return
            tool, run = self._chance.choice(_TOOLS), self._chance.choice(self._story.runs)
            looped = tool == _LOOPED and self._chance.random() < 0.6
            for _ in range(4 if looped else 1):
                await self._order(number, tool, run)
            await asyncio.sleep(self._chance.random() * 0.4)

    async def _order(self, number: int, tool: str, run: str) -> None:
        named, given = "", None
        for asks in range(40):
            if self._story.over:
                return
            wait = self._chance.choice((0.0, 0.3, 3.0, 12.0))
            answer = await self._ask(run, tool, number, named=named, given=given, wait=wait)
            given = None
            match answer:
                case Completed() | TurnedDown() | Refused():
                    self._story.hear(number, tool, answer)
                    return
                case InDoubt():
                    self._story.hear(number, tool, answer)
                    if self._chance.random() < 0.5:
                        return
                case Broken():
                    if self._gives_up(number, tool, answer, first=not asks):
                        return
                case InputAsked(payload=payload):
                    given = Continuation(request_state=str(payload["requestState"]), input_responses={})
                case Waiting(approval=approval, action=action):
                    named = self._chance.choice(("", action, approval or action))
                case _:
                    pass
            await asyncio.sleep(self._chance.random() * (0.2 if given else 1.5))

    def _gives_up(self, number: int, tool: str, answer: Broken, *, first: bool) -> bool:
        """Whether an answer is the last word: of an action, or for who believes that nothing was sent."""
        if answer.action:
            self._story.hear(number, tool, answer)
            return True
        believes = self._chance.random() < 0.5 and first and not self._twice
        if not (believes and answer.message.startswith(_NOT_SENT)):
            return False
        self._story.gave_up.add(number)
        return True

    async def _ask(
        self, run: str, tool: str, number: int, *, named: str, given: Continuation | None, wait: float
    ) -> Any:
        """Ask once, perhaps in two voices at the same time, perhaps without waiting for the answer."""

        def propose(process: Process) -> Any:
            if named and given is None:
                return process.calls.resume(process.principal(run), named, wait=wait)
            proposal = process.proposal(run, tool, {"order": number}, given)
            return process.calls.propose(proposal, wait=wait)

        twice = self._twice = self._chance.random() < 0.15
        impatient = self._chance.random() < 0.1
        asked = [await self._story.ask(propose) for _ in range(1 + twice)]
        if impatient:
            await asyncio.sleep(self._chance.random() * 0.5)
            asked[-1].cancel()
        heard: list[Any] = []
        for each in asked:
            try:
                heard.append(await each)
            except Gone:
                heard.append(None)
            except asyncio.CancelledError:
                heard.append(None)
        if twice and heard[0] is not None and heard[1] is not None:
            self._story.told(f"both heard {type(heard[0]).__name__} {type(heard[1]).__name__}")
            self._story.hear(number, tool, heard[1])
        return heard[0]


class Approver:
    """One of two people who race to decide what waits."""

    def __init__(self, story: Story, which: int, chance: random.Random) -> None:
        self._story, self._chance, self._person = story, chance, PEOPLE[which]

    async def work(self) -> None:
        """Decide until the story is told."""
        while True:
            await asyncio.sleep(self._chance.random() * 1.2)
            waiting = self._story.look(
                sa.select(approvals.c.id, approvals.c.arguments, actions.c.arguments)
                .join(actions, actions.c.id == approvals.c.action)
                .where(approvals.c.state == "pending")
                .order_by(approvals.c.id)
            )
            if waiting and (self._chance.random() < 0.85 or self._story.over):
                await self._decide(self._chance.choice(waiting)[0])

    async def _decide(self, approval: str) -> None:
        drawn, person = self._chance.random(), self._person
        fresh = {"order": self._chance.randrange(1000, 9_999_999)}

        async def act(process: Process) -> Any:
            if drawn < 0.65:
                done = await process.people.approve(approval, person)
            elif drawn < 0.8:
                done = await process.people.reject(approval, person, reason="no")
            else:
                done = await process.people.modify(
                    approval, person, arguments=fresh, reason="rather so", four_eyes=drawn > 0.95
                )
            process.calls.decided(done.action)
            return done

        try:
            done = await (await self._story.ask(act))
        except (Gone, InterlockError) as error:
            self._story.told(f"{person.name} did not decide {approval}: {type(error).__name__}")
            return
        self._story.decided.append((approval, person.name))
        self._story.told(f"{person.name} decided {approval}: {done.state.value}")


class Janitor:
    """A person who cancels what has not begun, and looks outside to clear up what is in doubt."""

    def __init__(self, story: Story, chance: random.Random) -> None:
        self._story, self._chance = story, chance

    async def work(self) -> None:
        """Clear up until the story is told."""
        while True:
            await asyncio.sleep(0.5 + self._chance.random() * 2)
            await self._resolve()
            if self._chance.random() < 0.15 and not self._story.over:
                await self._cancel()

    async def _resolve(self) -> None:
        doubted = self._story.look(
            sa.select(actions.c.id, actions.c.effect)
            .where(actions.c.state == "in_doubt")
            .order_by(actions.c.id)
        )
        if not doubted:
            return
        name, effect = self._chance.choice(doubted)
        if effect == "probeable" and self._chance.random() < (0.3 if self._story.over else 0.8):
            return  # its probe says it, as a rule

        async def act(process: Process) -> Any:
            trusted = self._story.plan.steady and not self._story.over
            if not (trusted or self._story.outside.quiet(name)):
                raise Gone  # a clock that was set forward says too early that a call cannot land any more
            happened = any(each.action == name for each in self._story.outside.effects)
            return await process.resolve.action(
                name, happened=happened, person="maria", reason="I looked there"
            )

        await self._try(act, f"resolved {name}")

    async def _cancel(self) -> None:
        open_ = self._story.look(
            sa.select(actions.c.id).where(actions.c.state.in_(sorted(OPEN))).order_by(actions.c.id)
        )
        if open_:
            name = self._chance.choice(open_)[0]
            await self._try(
                lambda process: process.cancel.action(name, person="maria", reason="not any more"),
                f"cancelled {name}",
            )

    async def _try(self, act: Any, what: str) -> None:
        try:
            await (await self._story.ask(act))
            self._story.told(what)
        except (Gone, InterlockError) as error:
            self._story.told(f"not {what}: {type(error).__name__}")


async def nature(story: Story, chance: random.Random) -> None:
    """Set the clock, stop the process for a while, end a run: what happens to every system."""
    while not story.over:
        await asyncio.sleep(1 + chance.random() * 6)
        drawn, how = chance.random(), chance.random()
        if story.over:
            return
        if drawn < 0.3 and not story.plan.steady:
            step = chance.choice((-3600.0, -20.0, -2.0, 2.0, 8.0, 30.0)) * (0.5 + how)
            story.set_clock(step)
        elif drawn < 0.6 and story.process is not None:
            story.process.owner.stopped_until = story.loop.time() + how * 12
            story.told(f"the process stops for {how * 12:.1f} s")
        elif drawn < 0.9 and len(story.runs) > 1:
            await _end_run(story, story.runs.pop(), failed=how < 0.75)


async def _end_run(story: Story, run: str, *, failed: bool) -> None:
    """Let a run end, or its program fail, and another one begin."""
    story.told(f"the run {run} {'fails' if failed else 'ends'}")
    try:
        await (await story.ask(lambda process: process.close_run(run, failed=failed)))
    except (Gone, InterlockError):
        story.runs.append(run)
        return
    await story.open_runs()
