"""Ask a probeable tool what became of a call whose answer did not come (invariant 5).

The read that its map entry declares says whether the call happened. "It did" ends the doubt at once. "It did
not" counts only when the call cannot land any more; until then, and where nothing is said, it is asked again.
Who asks is a timer: any process may, and a crash forgets nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol

from interlock.core import reach
from interlock.core.action import Action, ActionState
from interlock.core.document.tool import Probe as Declared
from interlock.core.effect import key_of
from interlock.core.model import DAY, MINUTE, SECOND, EffectClass, Json, Request
from interlock.core.reach import NotMeasured
from interlock.errors import InterlockError
from interlock.runtime import Runtime
from interlock.store import actions, timers
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory

log = logging.getLogger(__name__)

PROBE = "probe"
"""The kind of timer that is due when a probe is asked; its reference is the action."""

SOON, AGAIN = 1 * SECOND, 1 * MINUTE
GIVEN_UP = 1 * DAY
"""How long after the doubt began a probe is still asked; afterwards a person looks."""

NEVER = "No answer came, and its probe says that it never happened. It can be asked for again."


class Ask(Protocol):
    """How a declared read is asked; raises `NotMeasured` when it says nothing."""

    def __call__(
        self, request: Request, tool: str, arguments: dict[str, Json], *, kind: str
    ) -> Awaitable[Mapping[str, Json]]:
        """Return its answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Asks probes, and ends what they can end."""

    store: Store
    memory: Memory
    runtime: Runtime
    ask: Ask

    def follow(self, transaction: Transaction, was: Action | None, now: Action) -> None:
        """Set the timer of a probe, in the commit that puts a call in doubt."""
        if now.state is not ActionState.IN_DOUBT or now.effect is not EffectClass.PROBEABLE:
            return
        if was is not None and self._declared(now.tool) is not None:
            timers.put(transaction, PROBE, now.id, transaction.now + SOON)

    def due(self, transaction: Transaction, name: str) -> None:
        """Ask the probe of an action once this is committed; should that come to nothing, ask again."""
        action = actions.get(transaction.connection, name)
        since = transaction.now - action.ended_at
        if action.state is not ActionState.IN_DOUBT or since > GIVEN_UP:
            return
        timers.put(transaction, PROBE, name, transaction.now + max(AGAIN, since))
        asking = self._ask
        spawn = self.runtime.scheduler.spawn
        transaction.on_commit(lambda: spawn(asking(action), name=f"probe {name}") and None)

    async def _ask(self, action: Action) -> None:
        try:
            await self._asked(action)
        except InterlockError as error:
            log.warning("the probe of %s must wait: %s", action.id, error.message)

    async def _asked(self, action: Action) -> None:
        probe = self._declared(action.tool)
        if probe is None:
            return
        try:
            arguments = reach.fill(probe.arguments, action.arguments, key=key_of(action))
            request = actions.request_of(action)
            answer = await self.ask(request, probe.tool, arguments, kind="call.probed")
        except NotMeasured:
            return
        happened = reach.happened(answer, probe.says)
        if happened is not None:
            await self.store.transact(lambda transaction: self._end(transaction, action, happened, answer))

    def _end(
        self, transaction: Transaction, asked: Action, happened: bool, answer: Mapping[str, Json]
    ) -> None:
        action = actions.get(transaction.connection, asked.id)
        if (action.state, action.fence) != (ActionState.IN_DOUBT, asked.fence):
            return
        if not happened and transaction.now < action.lease_until:  # it may still land: this is no answer yet
            timers.put(transaction, PROBE, action.id, action.lease_until)
            return
        timers.clear(transaction, PROBE, action.id)
        if happened:
            moved = actions.move(
                transaction, action, ActionState.SUCCEEDED, by="interlock", reason="its probe says so",
                result=dict(answer), error="",
            )  # fmt: skip
        else:
            moved = actions.move(
                transaction,
                action,
                ActionState.FAILED,
                by="interlock",
                reason="its probe says so",
                error=NEVER,
            )
            actions.uncount_call(transaction, action.run, action.tool)
            actions.free_key(transaction, action)
            transaction.on_commit(lambda: self.memory.uncount_call(action.run, action.tool))
        body = {"digest": action.digest, "happened": happened}
        actions.record(transaction, "action.probed", moved, body=body)
        live = actions.live_of(moved)
        transaction.on_commit(lambda: self.memory.put_action(live))

    def _declared(self, tool: str) -> Declared | None:
        bundle = self.memory.bundle
        compiled = bundle.tools.get(tool) if bundle is not None else None
        return None if compiled is None or compiled.document is None else compiled.document.probe
