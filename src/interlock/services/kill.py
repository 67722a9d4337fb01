"""The kill switch: in force in the tick it is pressed, on record as soon as the store can be written (B5).

One person stops, two resume. What cannot be recorded stays in force in memory, is written into the kill file
so that a restart obeys it too, and is tried again. A stop ends the runs it reaches, revokes their tokens and
cancels what waits in them; what it cannot reach is said (`report_kill`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from interlock.core.alert import AlertKind
from interlock.core.kill import KillLevel, KillOrder, KillScope, KillSource, scope_of
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.settings import Settings
from interlock.store import actions, alert_events, approvals, kill_file, kills, runs
from interlock.store.alert_events import Raised
from interlock.store.database import Store, Transaction
from interlock.store.kills import KillState
from interlock.store.memory import Memory
from interlock.store.run_rows import Run, RunState

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class KillSwitch:
    """The kill switch of one process. `load` it before the first call.

    `followers` hear of a kill in the commit that puts it on record.
    """

    store: Store
    memory: Memory
    runtime: Runtime
    settings: Settings
    process: str
    followers: list[Callable[[Transaction, KillOrder], None]] = field(
        default_factory=list[Callable[[Transaction, KillOrder], None]]
    )
    _unrecorded: dict[str, KillOrder] = field(default_factory=dict[str, KillOrder])
    _lifted: set[str] = field(default_factory=set[str])
    _file: kill_file.Watched = field(init=False)

    def __post_init__(self) -> None:
        self._file = kill_file.Watched(self.settings.data)

    async def load(self) -> None:
        """Obey what is in force on record, and what the kill file says. Raises `StoreError`."""
        self._lifted = await self.store.read(kills.resumed_for_good)
        await self.follow_record()
        if self.look_at_file():
            await self.record()

    def press(self, order: KillOrder) -> None:
        """Stop it in this tick. Call `record` next; where that is not possible, the clock does."""
        if order.id not in self.memory.kills and order.id not in self._lifted:
            self._unrecorded[order.id] = order
            self.memory.put_kill(order.id, order.subject, order.level)

    async def record(self) -> None:
        """Write down what was pressed. What the store does not take goes into the kill file; raises then."""
        for order in list(self._unrecorded.values()):
            try:
                await self.store.transact(lambda transaction, order=order: self._write(transaction, order))
            except StoreError:
                self._write_file(order)
                raise
            self._unrecorded.pop(order.id, None)

    def recorded(self, kill: str) -> bool:
        """Whether a kill is on record, not only in force."""
        return kill not in self._unrecorded

    def look_at_file(self) -> bool:
        """Obey the kill file if it has changed, and answer it; return whether it had."""
        if not self._file.changed():
            return False
        orders = [each for each in kill_file.read(self.settings.data) if each.id not in self._lifted]
        for order in orders:
            self.press(order)
        try:
            kill_file.answer(self.settings.data, [each.id for each in orders])
        except OSError as error:
            log.warning("the kill file is obeyed, but that cannot be said beside it: %s", error.strerror)
        return True

    async def follow_record(self) -> None:
        """Obey kills that other processes recorded, and lift those that were resumed elsewhere."""
        environment = self.memory.environment
        standing = await self.store.read(lambda found: kills.in_force(found, environment))
        for each in standing:
            if each.id not in self.memory.kills:
                self.memory.put_kill(each.id, each.subject, each.level)
                await self._say_obeyed(each.id)
        gone = self.memory.kills.keys() - {each.id for each in standing} - self._unrecorded.keys()
        for known in sorted(gone):  # what was recorded since that look is not resumed
            found = await self.store.read(lambda connection, known=known: kills.find(connection, known))
            if found is not None and found.state is KillState.RESUMED:
                self.lift(known)

    def lift(self, kill: str) -> None:
        """Refuse no more by a kill that was resumed, and take it out of the kill file."""
        self._lifted.add(kill)
        self.memory.lift_kill(kill)
        try:
            kill_file.remove(self.settings.data, [kill])
        except OSError as error:
            log.warning("a resumed kill stays in the kill file, and is ignored there: %s", error.strerror)

    async def watch(self) -> None:
        """The clock's part, several times a second: obey the file, and write down what is new."""
        if self.look_at_file():
            await self.record()

    async def _say_obeyed(self, kill: str) -> None:
        """Let the process that pressed it know, once, that this one obeys, and what it ended."""
        environment = self.memory.environment

        def work(transaction: Transaction) -> None:
            if self.process in {each["process"] for each in kills.reports(transaction.connection, kill)}:
                return
            pressed = kills.get(transaction.connection, kill)
            ended = self._end(transaction, pressed.subject, pressed.level, pressed.pressed_by)
            kills.put_report(transaction, kill, self.process, environment, {"runs_ended": list(ended)})

        await self.store.transact(work)

    def _write(self, transaction: Transaction, order: KillOrder) -> None:
        if not kills.record(transaction, self.memory, order):
            self._known_before(transaction, order)
            return
        ended = self._end(transaction, order.subject, order.level, order.by)
        event = alert_events.raise_alert(transaction, self.memory, _alarm(order))
        kills.name_incident(transaction, order.id, None if event is None else event.incident)
        for follow in self.followers:
            follow(transaction, order)
        body = {"runs_ended": list(ended)}
        kills.put_report(transaction, order.id, self.process, self.memory.environment, body)

    def _known_before(self, transaction: Transaction, order: KillOrder) -> None:
        """What two people let go on is not stopped by the same kill once more."""
        if kills.get(transaction.connection, order.id).state is KillState.RESUMED:
            transaction.on_commit(lambda: self.memory.lift_kill(order.id))

    def _end(self, transaction: Transaction, subject: str, level: KillLevel, by: str) -> list[str]:
        """Where it is a stop, end the runs it reaches with what waits in them; return their ids."""
        if level is not KillLevel.STOP:
            return []
        scope, name = scope_of(subject)
        if scope is KillScope.TOOL:
            self._cancel_calls_of(transaction, name)
            return []
        reached = _reached(transaction, self.memory.environment, scope, name)
        for run in reached:
            runs.end(transaction, self.memory, run, state=RunState.ENDED, reason=f"stopped by {by}")
            approvals.cancel_open(
                transaction, self.memory, run=run.id, by=by, reason="the kill switch was pressed"
            )
        return [run.id for run in reached]

    def _cancel_calls_of(self, transaction: Transaction, tool: str) -> None:
        for action in actions.unsettled(transaction.connection):
            here = actions.principal_of(action).environment == self.memory.environment
            if here and action.tool == tool and action.cancellable:
                approvals.cancel(
                    transaction, self.memory, action, by="interlock", reason="the kill switch was pressed"
                )

    def _write_file(self, order: KillOrder) -> None:
        try:
            kill_file.write(self.settings.data, order)
        except OSError as error:
            log.error("a kill could be neither recorded nor written to the kill file: %s", error.strerror)


def _reached(transaction: Transaction, environment: str, scope: KillScope, name: str) -> list[Run]:
    """Return this environment's open runs of what is stopped, and the runs that these began (B9)."""
    connection = transaction.connection
    here = [run for run in runs.open_runs(connection) if run.environment == environment]
    named = {name} if scope is KillScope.RUN else {run.id for run in here if _is_of(run, scope, name)}
    family = named.union(*(runs.descendants(connection, each) for each in named))
    return [run for run in here if run.id in family]


def _is_of(run: Run, scope: KillScope, name: str) -> bool:
    match scope:
        case KillScope.WORKFLOW:
            return run.workflow == name
        case KillScope.AGENT:
            return run.agent == name
        case KillScope.ENVIRONMENT:
            return run.environment == name
        case KillScope.ALL:
            return True
        case KillScope.RUN | KillScope.TOOL:
            return False


def _alarm(order: KillOrder) -> Raised:
    by_budget = order.source is KillSource.BUDGET
    return Raised(
        kind=AlertKind.BUDGET_KILL if by_budget else AlertKind.KILL,
        subject=order.subject,
        period=order.id,
        summary=order.summary,
        facts={"kill": order.id, "level": order.level.value, "source": order.source.value},
        workflow=order.workflow,
        route=order.route,
        by=order.by,
    )
