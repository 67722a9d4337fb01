"""The real stores beside the pure machine: whatever is tried in whatever order, both end in the same place.

What the machine allows is written, with its step; what it does not, or what is tried on what somebody has
overtaken, changes nothing. Leases end, breakers leave open, and the store is closed and opened again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from interlock.core import effect, lease
from interlock.core.action import Action, ActionState, advance
from interlock.core.document.tool import Companion, FollowUp, Tool
from interlock.core.history import FIRST
from interlock.core.model import SECOND, EffectClass, RiskTier, Verdict
from interlock.core.second_step import STANDING
from interlock.errors import StateConflict
from interlock.runtime import EventLoopScheduler, Runtime, TimeOrderedIds
from interlock.store import actions, claims, doubts, second_steps
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.schema import runs
from interlock.testing import FixedClock, journal
from support.stores import a_settings

_S = ActionState
TIMEOUT = 60 * SECOND
TOOL = Tool(name="shop.write", follow_up=FollowUp(tool="shop.last", arguments={}, after=60),
            undo=Companion(tool="shop.back", arguments={}))  # fmt: skip
SENDER, OTHER = "prc_1", "prc_2"


class Machine(RuleBasedStateMachine):
    """Actions of one run, on disk and in the model."""

    place: ClassVar[Path]
    database: ClassVar[str]
    numbers: ClassVar[Iterator[int]]

    @initialize()
    def begin(self) -> None:
        self.number = next(self.numbers)
        self.run, self.model = f"run_{self.number}", dict[str, Action]()
        self.steps = dict[str, str]()
        self.data = self.place / (str(self.number) if not self.database else "shared")
        self.clock = FixedClock(10**15 + self.number * 10**14)
        self.loop = asyncio.Runner()
        self.memory = Memory(environment=f"env{self.number}")
        self.store = self.opened()
        self.loop.run(self.store.transact(lambda tx: self._open_run(tx)))

    def opened(self) -> Store:
        ids = TimeOrderedIds(self.clock)
        runtime = Runtime(clock=self.clock, ids=ids, scheduler=EventLoopScheduler())
        return Store.open(a_settings(self.data, database=self.database), runtime)

    def _open_run(self, transaction: Transaction) -> None:
        values = {
            "id": self.run, "workflow": "orders", "workflow_version": 1, "agent": "bot", "state": "open",
            "environment": self.memory.environment, "started_by": "kim", "opened_at": 1,
        }  # fmt: skip
        transaction.execute(sa.insert(runs).values(values))

    def on_disk(self) -> dict[str, Action]:
        mine = self.loop.run(self.store.read(lambda found: actions.listed(found, run=self.run, limit=1000)))
        return {each.id: each for each in mine}

    @rule(first=st.sampled_from(sorted(FIRST)), of=st.sampled_from(EffectClass))
    def propose(self, first: ActionState, of: EffectClass) -> None:
        sent = first is _S.EXECUTING
        now = self.clock.now()
        action = Action(
            id=f"act_{self.number}_{len(self.model)}", run=self.run, agent="bot", workflow="orders",
            workflow_version=1, tool="shop.write", arguments={}, digest=f"d{len(self.model)}", state=first,
            effect=of, tier=RiskTier.LIMITED_WRITE, verdict=Verdict.ALLOW, bundle="b", pin="p",
            created_at=now, updated_at=now, attempt=int(sent), began_at=now if sent else 0,
            lease_until=now + lease.length(TIMEOUT) if sent else 0,
        )  # fmt: skip
        self.loop.run(self.store.transact(lambda tx: actions.insert(tx, action, process=SENDER)))
        self.model[action.id] = action

    @rule(data=st.data(), to=st.sampled_from(ActionState), stale=st.booleans())
    def move(self, data: st.DataObject, to: ActionState, stale: bool) -> None:
        if not self.model:
            return
        action = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        changes: dict[str, Any] = {}
        if to is _S.EXECUTING:
            changes["lease_until"] = self.clock.now() + lease.length(TIMEOUT)
        seen = action
        if stale and action.fence:
            seen = advance(action, action.state, now=0)  # a fence that nobody has written
        allowed = seen is action and action.may_become(to)
        work = self.store.transact(
            lambda tx: actions.move(tx, seen, to, by="test", process=SENDER, **changes)
        )
        if not allowed:
            with pytest.raises(StateConflict):
                self.loop.run(work)
            return
        self.loop.run(work)
        self.model[action.id] = advance(action, to, now=self.clock.now(), **changes)

    @rule(seconds=st.sampled_from([1, 30, 66, 90_000]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def reap(self) -> None:
        """Another process takes up what was executed when its lease ended; nothing before that."""
        now = self.clock.now()

        def work(transaction: Transaction) -> list[str]:
            found = claims.overdue(transaction, self.memory.environment, process=OTHER, alone=False)
            for each in found:
                doubts.unanswered(transaction, self.memory, each, "cut off", timeout=TIMEOUT)
            return [each.id for each in found]

        reaped = self.loop.run(self.store.transact(work))
        due = [each for each in self.model.values() if each.state is _S.EXECUTING and each.lease_until <= now]
        assert sorted(reaped) == sorted(each.id for each in due)
        for each in due:
            state, due_at = effect.after_unknown(each, now=now, window=effect.WINDOW)
            self.model[each.id] = advance(
                each, state, now=now, error="cut off", result=None, due_at=due_at,
                lease_until=lease.quiet_at(each.lease_until, TIMEOUT),
            )  # fmt: skip

    @rule(data=st.data())
    def propose_a_second_step(self, data: st.DataObject) -> None:
        """What stands gets one second step at a time; the row of the step says which."""
        standing = sorted(name for name, each in self.model.items() if each.state in STANDING)
        if not standing:
            return
        name = data.draw(st.sampled_from(standing))
        before, number = self.steps.get(name, ""), len(self.model)
        stale = data.draw(st.booleans())
        second = replace(
            self.model[name], id=f"act_{self.number}_{number}", state=_S.WAITING_APPROVAL, follows=name,
            fence=0, attempt=0, began_at=0, ended_at=0, lease_until=0, due_at=0, digest=f"d{number}",
            created_at=self.clock.now(), updated_at=self.clock.now(), result=None, error="",
        )  # fmt: skip

        def work(transaction: Transaction) -> None:
            if not self.steps.get(name):
                second_steps.register(transaction, self.model[name], TOOL, None)
            step = second_steps.of(transaction.connection, name)
            assert step is not None
            actions.insert(transaction, second, process="")
            second_steps.take(transaction, replace(step, second="act_none") if stale else step, second.id)

        if stale:
            with pytest.raises(StateConflict):
                self.loop.run(self.store.transact(work))
            return
        self.loop.run(self.store.transact(work))
        self.model[second.id], self.steps[name] = second, second.id
        assert before != second.id

    @rule(data=st.data())
    def send_a_second_step(self, data: st.DataObject) -> None:
        """It may be sent while what it makes final stands, and not afterwards."""
        waiting = sorted(name for name, each in self.model.items() if each.follows)
        if not waiting:
            return
        second = self.model[data.draw(st.sampled_from(waiting))]
        work = self.store.transact(lambda tx: second_steps.require_standing(tx, second))
        if self.model[second.follows].state in STANDING:
            self.loop.run(work)
            return
        with pytest.raises(StateConflict):
            self.loop.run(work)

    @rule()
    def breaker_leaves_open(self) -> None:
        work = self.store.transact(lambda tx: claims.release_parked(tx, self.memory, workflow="orders"))
        released = {each.id for each in self.loop.run(work)}
        parked = {each.id for each in self.model.values() if each.state is _S.PARKED}
        assert released == parked
        for name in parked:
            self.model[name] = advance(self.model[name], _S.APPROVED, now=self.clock.now(), error="")

    @rule()
    def reopen(self) -> None:
        """The process ends and another one begins on the same database."""
        self.store.close_now()
        self.store = self.opened()

    @invariant()
    def both_stand_in_the_same_place(self) -> None:
        if hasattr(self, "store"):
            assert self.on_disk() == self.model

    def teardown(self) -> None:
        if hasattr(self, "store"):
            try:
                assert self.loop.run(self.store.read(journal.check)) == []
            finally:
                self.store.close_now()
                self.loop.close()


def drive(place: Path, database: str, *, examples: int, steps: int) -> None:
    """Let hypothesis try whatever comes to its mind."""
    given = {"place": place, "database": database, "numbers": itertools.count()}
    kind = type("Driven", (Machine,), given)
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_sqlite_and_the_machine_agree(tmp_path: Path) -> None:
    drive(tmp_path, "", examples=12, steps=35)


def test_postgresql_and_the_machine_agree(tmp_path: Path, postgres_url: str) -> None:
    drive(tmp_path, postgres_url, examples=5, steps=25)
