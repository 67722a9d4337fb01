"""Decide a proposed call, and write decision and intent down before anything is sent (invariants 1, 2).

The decision is made on values in memory; the write stands only if policy bundle, run and agent on disk
are still those it was made on. Otherwise it is `SnapshotMoved` and decided anew, a few times at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from interlock.core import admission, lease
from interlock.core.action import Action, ActionState
from interlock.core.model import SECOND, Decision, EffectClass, Json, Request, RiskTier, Verdict
from interlock.core.reach import Measured
from interlock.errors import CommitUnknown, SnapshotMoved, StateConflict, StoreUnavailable
from interlock.runtime import Runtime
from interlock.store import actions, decisions, grounds, requests
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.memory import Memory

ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """The first half of a governed call. `call_timeout` is in seconds; `process` names this process."""

    store: Store
    memory: Memory
    runtime: Runtime
    process: str
    call_timeout: int

    def decide(self, request: Request, *, measured: Measured | None = None) -> Decision:
        """Decide, and reserve one call in the same breath unless the answer is no.

        `measured` is what its preview said.
        """
        run, tool = request.principal.run, request.tool
        now = self.runtime.clock.now()
        snapshot = self.memory.snapshot(request.principal, tool, measured=measured)
        decision = admission.decide(request, snapshot, now)
        if not decision.denied:
            self.memory.count_call(run, tool)
        return decision

    async def refuse(self, request: Request, decision: Decision) -> None:
        """Record a refusal. It waits for no commit, and is kept until the store can be written again."""
        with suppress(StoreUnavailable):  # it is listed or counted then, and refused all the same
            await self.store.journal(self._entry("call.denied", request, decision))

    async def allow_read(self, request: Request, decision: Decision) -> None:
        """Record the decision on a read, which needs no intent on disk.

        Raises `StoreUnavailable` when it cannot be recorded; the call must not happen then.
        """
        entry = self._entry("call.allowed", request, decision)
        if not self.store.offer(entry):
            await self.store.journal(entry)

    async def record(
        self,
        request: Request,
        decision: Decision,
        *,
        action: str,
        idempotency_key: str = "",
        parked: Mapping[str, Json] | None = None,
    ) -> Action:
        """Write decision and intent in one commit: executing, scheduled, or waiting for a person.

        `parked` is for a read whose tool asked for input: it becomes an action that awaits it. Raises
        `SnapshotMoved` when what it was decided on is no longer so; the reserved call is given back, but for
        `CommitUnknown`.
        """
        now = self.store.now()
        drafted = self._draft(request, decision, action, idempotency_key, now)
        if parked is not None:
            drafted = replace(
                drafted,
                state=ActionState.AWAITING_INPUT,
                result=dict(parked["payload"]),
                input_state=str(parked["state"]),
                attempt=0,
                began_at=0,
                lease_until=0,
            )
        try:
            return await self.store.transact(
                lambda transaction: self._intent(transaction, drafted, decision),
                wanted=self._entry(f"action.{drafted.state.value}", request, decision),
            )
        except CommitUnknown:  # it counts until it is found out what became of it
            raise
        except BaseException as error:
            self.memory.uncount_call(request.principal.run, request.tool)
            if isinstance(error, StateConflict):  # another process was faster, or the key was used before
                raise SnapshotMoved("Such a call is on record already.", hint="Look at it.") from error
            raise

    def _draft(
        self, request: Request, decision: Decision, action: str, idempotency_key: str, now: int
    ) -> Action:
        principal = request.principal
        state, due_at = ActionState.EXECUTING, 0
        if decision.verdict is Verdict.REQUIRE_APPROVAL:
            state = ActionState.WAITING_APPROVAL
        elif (delay := self.memory.delay_of(request.tool)) and decision.effect is not EffectClass.READ:
            state, due_at = ActionState.SCHEDULED, now + delay
        sent = state is ActionState.EXECUTING
        return Action(
            id=action,
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
            workflow_version=principal.workflow_version,
            tool=request.tool,
            arguments=request.arguments,
            digest=request.digest,
            state=state,
            effect=decision.effect,
            tier=decision.tier,
            verdict=decision.verdict,
            bundle=decision.bundle,
            pin=decision.pin,
            created_at=now,
            updated_at=now,
            principal=actions.plain(principal),
            decision=actions.plain(decision),
            idempotency_key=idempotency_key,
            due_at=due_at,
            attempt=int(sent),
            began_at=now if sent else 0,
            lease_until=now + self._lease if sent else 0,
        )

    def _intent(self, transaction: Transaction, action: Action, decision: Decision) -> Action:
        grounds.require(transaction, self.memory, action, decision)
        action, expires_at = self._as_of(transaction.now, action), 0
        if action.state is ActionState.WAITING_APPROVAL:
            asked = requests.draft(transaction, self.memory, action, decision)
            action, expires_at = replace(action, approval=asked.id), asked.expires_at
            actions.insert(transaction, action, process=self.process)
            requests.put(transaction, self.memory, asked, action)
        else:
            actions.insert(transaction, action, process=self.process)
        self._within(action, actions.count_call(transaction, action.run, action.tool))
        actions.record(transaction, f"action.{action.state.value}", action, body=decisions.said(decision))
        live = actions.live_of(action, expires_at=expires_at)
        transaction.on_commit(lambda: self.memory.put_action(live))
        return action

    def _within(self, action: Action, count: int) -> None:
        """Hold calls of all processes together to the grant's limit; memory sees to it where there is one."""
        if self.store.alone:
            return
        compiled = None if self.memory.bundle is None else self.memory.bundle.workflows.get(action.workflow)
        grant = None if compiled is None else compiled.grants.get(action.tool)
        if grant is not None and grant.max_calls is not None and count > grant.max_calls:
            raise SnapshotMoved("Other processes called it meanwhile.", hint="It is decided anew.")

    def _as_of(self, now: int, action: Action) -> Action:
        """Return a new action as of `now`, which on PostgreSQL is what the database says."""
        if self.store.alone:
            return action
        times = {name: getattr(action, name) for name in ("began_at", "lease_until", "due_at")}
        later = {name: at + now - action.created_at for name, at in times.items() if at}
        return replace(action, created_at=now, updated_at=now, **later)

    @property
    def _lease(self) -> int:
        return lease.length(self.call_timeout * SECOND)

    def _entry(self, kind: str, request: Request, decision: Decision) -> JournalEntry:
        principal = request.principal
        return JournalEntry(
            at=decision.decided_at,
            kind=kind,
            body=decisions.said(decision),
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
            tool=request.tool,
        )


def is_read(decision: Decision) -> bool:
    """Whether the call needs no action row: an allowed call of a tool that only reads."""
    return (
        decision.verdict is Verdict.ALLOW
        and decision.tier is RiskTier.READ_ONLY
        and decision.effect is EffectClass.READ
    )
