"""What trips breakers, counted in the commit of what happened (E2).

Moves of actions are followed in their own commit. A read has no action: the entry of its outcome is written
in a commit of its own where it counts, a failure or the end of failures in a row, and in a batch with others
where it does not. How often a call was repeated is counted in memory: a restart begins that count anew, so a
loop is found that many calls later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from interlock.core import kill
from interlock.core.action import Action
from interlock.core.breaker import BreakerKind, Repeats, Trigger, failed, succeeded
from interlock.core.kill import KillOrder, KillScope, KillSource
from interlock.core.model import BreakerState, Request
from interlock.core.symptom import Effect, correctable, effect_of, tripped_by
from interlock.errors import UsageError
from interlock.store import alert_events, breakers, kills, openings
from interlock.store.breakers import Record
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.openings import Trip, limits_of
from interlock.upstream.executor import Failed, Outcome, Succeeded, Unknown

_CUT_OFF = "The process was stopped"
_WHY = {
    Trigger.APPROVAL_EXPIRED: "a high-blast-radius call of {tool} waited for a person until its time ran out",
    Trigger.COMPENSATION_FAILED: "undoing a call of it failed",
}


@dataclass(slots=True, kw_only=True)
class Breakers:
    """The breakers of one process. `load` them before the first call.

    `_failing` has the tools whose last calls failed, so that a success of another costs nothing.
    """

    store: Store
    memory: Memory
    _failing: dict[str, int] = field(default_factory=dict[str, int])
    _trees: dict[str, Repeats] = field(default_factory=dict[str, Repeats])

    def __post_init__(self) -> None:
        self.memory.on_run_over.append(self._forget)

    async def load(self) -> None:
        """Decide by the breakers on record: at the start, and when another process changed one."""
        environment, moves = self.memory.environment, -1
        found: list[Record] = []
        while moves != self.memory.breaker_moves:  # what moved here meanwhile is newer than what was read
            moves = self.memory.breaker_moves
            found = await self.store.read(lambda connection: breakers.load(connection, environment))
        known = {each.breaker.subject: each for each in found}
        for subject in [each for each in self.memory.breakers if each not in known]:
            self.memory.put_breaker(subject, BreakerState.CLOSED, "")
        for subject, each in known.items():
            self.memory.put_breaker(subject, each.breaker.state, each.why)
        self._failing = {each.breaker.name: each.breaker.failures for each in found if each.breaker.failures}

    def follow(self, transaction: Transaction, was: Action | None, now: Action) -> None:
        """Count a move of an action in its commit, and trip what it trips."""
        if was is None:
            if not now.comp_of:
                self._begun(transaction, now)
        elif (effect := effect_of(was, now)) is not Effect.NEITHER:
            self._ended(transaction, now, effect)
        elif (what := tripped_by(now)) is not None:
            self._by_itself(transaction, now, *what)

    def of_read(self, request: Request, outcome: Outcome) -> Callable[[Transaction], None] | None:
        """Count the end of a read; return what belongs into the commit of its outcome, None for nothing."""
        work = [*self._repeated(request), *self._counted(request, outcome)]
        return (lambda transaction: _all(work, transaction)) if work else None

    def pressed(self, transaction: Transaction, order: KillOrder) -> None:
        """Trip the workflow of a run that a budget halted, in the commit of the halt (E2)."""
        if order.source is not KillSource.BUDGET:
            return
        scope, run = kill.scope_of(order.subject)
        facts = self.memory.runs.get(run)
        if scope is KillScope.RUN and facts is not None:
            pressed = kills.find(transaction.connection, order.id)
            what = Trip(
                kind=BreakerKind.WORKFLOW,
                name=self._first(run, facts.workflow)[1],
                cause=Trigger.RUN_COST,
                why="a run reached the ceiling of what it may cost",
                run=run,
                workflow=facts.workflow,
                incident="" if pressed is None else pressed.incident or "",
            )
            openings.trip(transaction, self.memory, what)

    def _by_itself(self, transaction: Transaction, action: Action, kind: BreakerKind, cause: Trigger) -> None:
        """Trip what a move trips whatever the counters say; a failed undo has told people already."""
        name = action.tool if kind is BreakerKind.TOOL else self._first(action.run, action.workflow)[1]
        undo = None
        if cause is Trigger.COMPENSATION_FAILED:
            undo = alert_events.of_undo(transaction.connection, self.memory.environment, action.id)
        what = Trip(
            kind=kind,
            name=name,
            cause=cause,
            why=_WHY[cause].format(tool=action.tool),
            run=action.run,
            workflow=action.workflow,
            incident="" if undo is None else undo.incident or "",
            told_by="" if undo is None else undo.id,
        )
        openings.trip(transaction, self.memory, what)

    def _begun(self, transaction: Transaction, action: Action) -> None:
        """Count a call that is more than a read, and trip where it was one too many of the same."""
        root, workflow = self._first(action.run, action.workflow)
        tree, limit = self._tree(root), limits_of(self.memory, workflow).identical_calls
        count = tree.seen(action.tool, action.digest) + 1
        transaction.on_commit(lambda: _add(tree, action))
        if count % limit == 0:
            self._loop(transaction, workflow, action.tool, count, action.run)

    def _ended(self, transaction: Transaction, action: Action, effect: Effect) -> None:
        if effect is Effect.CLEAN:
            if self._failing.get(action.tool):
                self._succeeded(transaction, action.tool)
        elif not action.error.startswith(_CUT_OFF):
            called = (action.run, action.workflow, action.agent)
            if not self._cut(*called, action.tool):
                self._failed(transaction, action.tool, *called)

    def _repeated(self, request: Request) -> Sequence[Callable[[Transaction], None]]:
        run, tool = request.principal.run, request.tool
        root, workflow = self._first(run, request.principal.workflow)
        count = self._tree(root).add(tool, request.digest)
        if count % limits_of(self.memory, workflow).identical_calls:
            return ()
        return (lambda transaction: self._loop(transaction, workflow, tool, count, run),)

    def _counted(self, request: Request, outcome: Outcome) -> Sequence[Callable[[Transaction], None]]:
        caller, tool = request.principal, request.tool
        called = (caller.run, caller.workflow, caller.agent)
        match outcome:
            case Succeeded() if self._failing.get(tool):
                return (lambda transaction: self._succeeded(transaction, tool),)
            case Failed(payload=payload) if not correctable(payload):
                pass
            case Unknown(left=False) if not self._cut(*called, tool):
                pass
            case _:
                return ()
        return (lambda transaction: self._failed(transaction, tool, *called),)

    def _succeeded(self, transaction: Transaction, tool: str) -> None:
        record = breakers.hold(transaction, self.memory.environment, BreakerKind.TOOL, tool)
        counted = succeeded(record.breaker)
        if counted != record.breaker:
            breakers.count(transaction, self.memory.environment, counted)
        transaction.on_commit(lambda: self._put(tool, 0))

    def _failed(self, transaction: Transaction, tool: str, run: str, workflow: str, agent: str) -> None:
        """Count a failure of a tool, and end every probation that it falls into."""
        environment = self.memory.environment
        record = breakers.hold(transaction, environment, BreakerKind.TOOL, tool)
        counted, cause = failed(record.breaker, limits_of(self.memory, workflow).tool_failures)
        if cause is Trigger.TOOL_FAILURES:
            why = f"{counted.failures} failures in a row"
            self._trip(transaction, BreakerKind.TOOL, tool, cause, why, run, workflow)
        elif counted != record.breaker:
            breakers.count(transaction, environment, counted)
        failures = 0 if cause is not None else counted.failures
        transaction.on_commit(lambda: self._put(tool, failures))
        subjects = openings.subjects_of(self.memory, run=run, workflow=workflow, agent=agent, tool=tool)
        for (kind, name), state in sorted(
            breakers.standing(transaction.connection, environment, subjects).items()
        ):
            if state is BreakerState.HALF_OPEN:
                why = f"a call of {tool} failed while it was half-open"
                self._trip(
                    transaction, BreakerKind(kind), name, Trigger.HALF_OPEN_FAILURE, why, run, workflow
                )

    def _loop(self, transaction: Transaction, workflow: str, tool: str, count: int, run: str) -> None:
        why = f"the same call of {tool} was made {count} times in one run and those it started"
        self._trip(transaction, BreakerKind.WORKFLOW, workflow, Trigger.IDENTICAL_CALLS, why, run, workflow)

    def _trip(
        self, transaction: Transaction, kind: BreakerKind, name: str, cause: Trigger, why: str, run: str,
        workflow: str,
    ) -> None:  # fmt: skip
        what = Trip(kind=kind, name=name, cause=cause, why=why, run=run, workflow=workflow)
        openings.trip(transaction, self.memory, what)

    def _cut(self, run: str, workflow: str, agent: str, tool: str) -> bool:
        """Whether a kill reaches the call: then its end says nothing about the tool."""
        if not self.memory.kill:
            return False
        facts = self.memory.runs.get(run)
        subjects = kill.belongs_to(
            environment=self.memory.environment,
            agent=agent,
            workflow=workflow,
            run=run,
            tool=tool,
            above=() if facts is None else facts.above,
        )
        return bool(kill.standing(self.memory.kill, subjects))

    def _first(self, run: str, workflow: str) -> tuple[str, str]:
        """Return the run that a tree began with, and its workflow (B9)."""
        facts = self.memory.runs.get(run)
        return facts.above[-1] if facts is not None and facts.above else (run, workflow)

    def _tree(self, root: str) -> Repeats:
        return self._trees.get(root) or self._trees.setdefault(root, Repeats())

    def _put(self, tool: str, failures: int) -> None:
        self._failing.pop(tool, None)
        if failures:
            self._failing[tool] = failures

    def _forget(self, run: str) -> None:
        self._trees.pop(run, None)


def _add(tree: Repeats, action: Action) -> None:
    tree.add(action.tool, action.digest)


def _all(work: Sequence[Callable[[Transaction], None]], transaction: Transaction) -> None:
    for each in work:
        each(transaction)


async def trip_by_hand(
    *, store: Store, memory: Memory, kind: BreakerKind, name: str, by: str, reason: str
) -> Record:
    """Open a breaker because a person says so; one that is open stays as it is.

    Raises `UsageError` without a reason.
    """
    if not reason.strip():
        raise UsageError("Tripping a breaker needs a reason.", hint="--reason TEXT")
    workflow = name if kind is BreakerKind.WORKFLOW else ""
    why = f"{by} opened it"
    what = Trip(kind=kind, name=name, cause=Trigger.PERSON, why=why, workflow=workflow, by=by, reason=reason)

    def work(transaction: Transaction) -> Record:
        openings.trip(transaction, memory, what)
        return breakers.get(transaction.connection, memory.environment, kind, name)

    return await store.transact(work)
