"""Wait for what an action becomes, and tell the caller who is attached to it.

An outcome that was told is collected: an identical call is a new one afterwards. A doubt and a question
are told as often as they are asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from interlock.core import question
from interlock.core.action import Action, ActionState
from interlock.core.answer import Answer, InDoubt, Waiting, answer_of
from interlock.core.approval import Approval
from interlock.core.question import Question
from interlock.errors import InterlockError, StoreError
from interlock.runtime import Runtime
from interlock.store import actions, approvals
from interlock.store.collected import Collected
from interlock.store.database import Store
from interlock.store.memory import LiveAction, Memory
from interlock.store.watch import Watch
from interlock.upstream.executor import Bridge
from interlock.upstream.relay import Relay

log = logging.getLogger(__name__)

HEARTBEAT = 10.0
LOOK = 0.25
"""Seconds between two looks at an action that another process may be carrying out."""

_UNDER_WAY = frozenset({ActionState.APPROVED, ActionState.EXECUTING, ActionState.RETRY})
_UNREAD = "This call is on record; what became of it cannot be read now. Ask again, and send no other: "


def _nowhere(_action: str) -> bool:
    return False


@dataclass(slots=True, kw_only=True)
class Attend:
    """Callers who wait. Each action that is open has a relay, to which they attach.

    `here` says whether this process is carrying an action out.
    """

    store: Store
    memory: Memory
    runtime: Runtime
    watch: Watch
    collected: Collected
    relays: dict[str, Relay] = field(default_factory=dict[str, Relay])
    closing: bool = False
    here: Callable[[str], bool] = _nowhere

    def relay(self, action: str) -> Relay:
        """Return the way back to the callers of `action`."""
        return self.relays.setdefault(action, Relay())

    def leave(self, action: str) -> None:
        """Let go of the relay of an action that has ended."""
        self.relays.pop(action, None)

    async def follow(
        self, action: str, *, bridge: Bridge | None, wait: float, patient: bool = True
    ) -> Answer:
        """Wait until `action` ends, or `wait` seconds for a person, and answer.

        `patient` callers stay with a call that is under way; it has its own timeout. Where the store cannot
        be read, nobody is told that nothing happened.
        """
        try:
            return await self._follow(action, bridge=bridge, wait=wait, patient=patient)
        except StoreError as error:
            return InDoubt(action=action, message=f"{_UNREAD}{error.message}")

    async def _follow(self, action: str, *, bridge: Bridge | None, wait: float, patient: bool) -> Answer:
        clock, first = self.runtime.clock, await self.newest(action)
        began, recorded = clock.monotonic(), first.state.final
        relay = Relay() if recorded else self.relay(first.id)
        if bridge is not None:
            relay.attach(bridge)
        try:
            while True:
                live = await self.newest(action)
                if live.state.final or await self._asks_its_caller(live):
                    return await self._collect(action, live.id, recorded=recorded)
                left = began + wait - clock.monotonic()
                under_way = patient and live.state in _UNDER_WAY
                if (left <= 0 and not under_way) or self.closing:
                    return _waiting(live)
                if bridge is not None and live.state not in _UNDER_WAY:
                    await _say_waiting(bridge, clock.monotonic() - began, wait, live)
                await self._change(live, HEARTBEAT if under_way else min(HEARTBEAT, left))
        finally:
            if bridge is not None:
                relay.detach(bridge)

    async def look(self, action: str) -> LiveAction:
        """Learn from disk where an action stands that another process may have moved; return it."""
        while True:
            known = self.memory.actions.get(action)
            found, approval = await self.load(action)
            if self.memory.actions.get(action) is not known:
                continue  # it went on here meanwhile
            live = actions.live_of(found, expires_at=approval.expires_at if approval else 0)
            if known != live and (known is not None or not live.state.final):
                self.memory.put_action(live)
            return live

    async def newest(self, action: str) -> LiveAction:
        """Return where an action stands, or the revision that took its place."""
        while True:
            live = self.memory.actions.get(action)
            if live is None:
                live = actions.live_of((await self.load(action))[0])
            if not live.successor:
                return live
            action = live.successor

    async def _asks_its_caller(self, live: LiveAction) -> bool:
        """Whether the tool asked for input that the caller gives, and not people."""
        if live.state is not ActionState.AWAITING_INPUT:
            return False
        if not self.memory.asks_people(live.run):
            return True
        action, _ = await self.load(live.id)
        put = question.read((action.result or {}).get("inputRequests") or {})
        if not isinstance(put, Question):
            return True
        return await self.store.read(lambda found: approvals.question_of(found, live.id)) is None

    async def _change(self, live: LiveAction, seconds: float) -> None:
        """Return when an action moved, or after some seconds; another process's moves are looked for."""
        if self.store.alone or self.here(live.id):
            await self.watch.change(live.id, seconds=seconds)
            return
        await self.watch.change(live.id, seconds=min(LOOK, seconds))
        await self.look(live.id)

    def tell(
        self,
        action: Action,
        approval: Approval | None = None,
        *,
        recorded: bool = False,
        revised: bool = False,
    ) -> Answer:
        """Turn an action into the caller's answer, and note that its outcome was told."""
        if _collectable(action) and not action.collected:
            self._forget(action.id)
        decision = actions.decision_of(action) if action.state is ActionState.DENIED else None
        return answer_of(action, decision, approval=approval, recorded=recorded, revised=revised)

    async def load(self, action: str) -> tuple[Action, Approval | None]:
        """Return an action and the last request for approval of it. Raises `NotFound`."""

        def both(found: sa.Connection) -> tuple[Action, Approval | None]:
            known = actions.get(found, action)
            return known, approvals.find(found, known.approval) if known.approval else None

        return await self.store.read(both)

    async def _collect(self, asked: str, newest: str, *, recorded: bool) -> Answer:
        action, approval = await self.load(newest)
        if asked != newest and _collectable(action):
            self._forget(asked)
        return self.tell(action, approval, recorded=recorded, revised=asked != newest)

    def _forget(self, action: str) -> None:
        self.memory.forget_action(action)
        self.collected.told(action)


def _collectable(action: Action) -> bool:
    return action.state.final and action.state is not ActionState.IN_DOUBT


def _waiting(live: LiveAction) -> Waiting:
    return Waiting(
        approval=live.approval,
        action=live.id,
        expires_at=live.expires_at,
        state=live.state.value,
        due_at=live.due_at,
    )


_AWAITED = {
    ActionState.SCHEDULED: "its time",
    ActionState.AWAITING_INPUT: "a person to answer what its tool server asks",
}


async def _say_waiting(bridge: Bridge, spent: float, wait: float, live: LiveAction) -> None:
    what = _AWAITED.get(live.state, "a person's decision")
    try:
        await bridge.progress(spent, wait, f"Waiting for {what} ({live.approval or live.id}).")
    except InterlockError as error:
        log.debug("a caller could not be told that it waits: %s", error.message)
