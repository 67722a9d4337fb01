"""The world outside: it does what it is asked to, late or never, and keeps every effect that really happened.

It outlives every process. A call that was sent lands although its sender died.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.loop import Loop
from tests.simulation.shop import EFFECTS, TIMEOUT

from interlock.core import lease
from interlock.core.model import SECOND
from interlock.upstream.executor import (
    Bridge,
    Dispatch,
    Failed,
    InputNeeded,
    NotSent,
    Outcome,
    Succeeded,
    Unknown,
)

_READS = frozenset({"read", "peek", "find"})
_GRACE = lease.GRACE / SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something that really happened, at a moment of the loop."""

    at: float
    action: str
    tool: str
    order: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A call that reached the outside. `asked` says that it only asked for input."""

    at: float
    action: str
    tool: str
    asked: bool = False


@dataclass(eq=False)
class Outside:
    """The tool server of the simulation. `smooth` turns its troubles off."""

    loop: Loop
    chance: random.Random
    seed: int
    trouble: float
    told: Callable[[str], None]
    check: Callable[[Dispatch], None]
    steady: bool
    """Whether nobody sets the clock, so that who asks waits long enough before it believes a no."""
    smooth: bool = False
    effects: list[Effect] = field(default_factory=list[Effect])
    sent: list[Sent] = field(default_factory=list[Sent])
    _actions: dict[str, str] = field(default_factory=dict[str, str])
    _known: dict[str, Effect] = field(default_factory=dict[str, Effect])

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Carry out a call as the seed says. The process may die at any moment of it."""
        if dispatch.action is None or dispatch.tool in _READS:
            await asyncio.sleep(self.chance.random() * 0.05)
            return _done(self._found(str(dispatch.arguments["key"])) if dispatch.tool == "find" else {})
        drawn = self.chance.random()
        if drawn < 0.3 * self.trouble and not self.smooth:
            return NotSent(message="The simulated tool server cannot be reached.")
        self.check(dispatch)
        asks = dispatch.tool == "ask" and dispatch.input_responses is None
        self.sent.append(Sent(at=self.loop.time(), action=dispatch.action, tool=dispatch.tool, asked=asks))
        self._actions[dispatch.idempotency_key] = dispatch.action
        self.told(f"sent {dispatch.tool} {dispatch.arguments['order']} {dispatch.action}")
        if asks:
            await asyncio.sleep(self.chance.random() * 0.05)
            return InputNeeded(payload={"requestState": "theirs", "inputRequests": {}})
        if drawn > 1 - 0.05 * self.trouble and not self.smooth:
            raise OSError("the simulated executor broke")
        return await self._carried_out(dispatch)

    async def _carried_out(self, dispatch: Dispatch) -> Outcome:
        """Let the effect land when it does, and answer when, and if, the answer comes."""
        lands, answers = self._fate(dispatch)
        if lands is not None:
            with self.loop.owned(None):
                self.loop.call_later(lands, self._land, dispatch)
        if answers is None or answers > dispatch.timeout:
            await asyncio.sleep(dispatch.timeout)
            return Unknown(message="No answer came in time.")
        await asyncio.sleep(answers)
        if lands is None:
            return Failed(message="no such order", payload={"content": [], "isError": True})
        return _done(dispatch.arguments)

    def _fate(self, dispatch: Dispatch) -> tuple[float | None, float | None]:
        """Return when the effect lands and when the answer comes; None for never.

        What is refused is refused each time, and what lands lands at the latest when the engine's promise of
        quiet has it.
        """
        kind, moment, later = (self.chance.random() for _ in range(3))
        soon = moment * 0.2
        if self.refuses(dispatch):
            return None, None if kind < self.trouble and not self.smooth else soon
        if self.smooth or kind >= self.trouble:
            return soon, soon + later * 0.05
        if kind < self.trouble * 0.3:
            return soon, None  # its answer is lost
        if kind < self.trouble * 0.5:
            return None, None  # it is lost itself
        if kind < self.trouble * 0.8:
            return dispatch.timeout + moment * (_GRACE - 0.01), None  # it lands after everybody gave up
        return soon, dispatch.timeout * 0.9 + later * 0.2  # its answer comes at the last moment

    def refuses(self, dispatch: Dispatch) -> bool:
        """Whether the outside turns this order down, whenever it is asked."""
        return random.Random(f"{self.seed}:{dispatch.tool}:{dispatch.arguments['order']}").random() < 0.1

    def quiet(self, action: str) -> bool:
        """Whether nothing of an action can land any more."""
        last = max((each.at for each in self.sent if each.action == action), default=0.0)
        return self.loop.time() > last + TIMEOUT + _GRACE

    def _found(self, key: str) -> dict[str, Any]:
        """Return what is known of a call: whether it happened, or nothing where a no would come early."""
        action = self._actions.get(key, "")
        happened = any(each.action == action for each in self.effects)
        sure = happened or self.quiet(action) or (self.steady and not self.smooth)
        self.told(f"found {action}: {happened if sure else 'nothing to say'}")
        return {"happened": happened} if sure else {}

    def _land(self, dispatch: Dispatch) -> None:
        action = dispatch.action or ""
        known = dispatch.idempotency_key if EFFECTS[f"shop.{dispatch.tool}"] == "idempotent" else ""
        if known and known in self._known:
            self.told(f"known {dispatch.tool} {dispatch.arguments['order']} {action}")
            return
        order: Any = dispatch.arguments["order"]
        effect = Effect(at=self.loop.time(), action=action, tool=f"shop.{dispatch.tool}", order=order)
        self.effects.append(effect)
        self.told(f"effect {dispatch.tool} {order} {action}")
        if known:
            self._known[known] = effect


def _done(said: Mapping[str, Any]) -> Succeeded:
    content = [{"type": "text", "text": "done"}]
    return Succeeded(payload={"content": content, "structuredContent": dict(said), "isError": False})
