"""What follows for second steps from a move, in its commit; and how one is proposed (E4). Never commits.

What is provisional gets its confirmation and its deadline at once, a follow-up its timer. What is taken back
withdraws a second step that was not sent. The confirmation that succeeds settles; one that a person rejects
voids.
"""

from __future__ import annotations

from dataclasses import replace

from interlock.core import admission, refusal
from interlock.core.action import Action, ActionState
from interlock.core.alert import AlertKind
from interlock.core.model import Decision, Gate, Principal, Request, Verdict
from interlock.core.second_step import IDENTITY, SecondStep, StepKind
from interlock.store import (
    actions,
    alert_events,
    approvals,
    decisions,
    openings,
    requests,
    second_steps,
    settlements,
    timers,
)
from interlock.store.alert_events import Raised
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.transaction import Transaction

_S = ActionState
_BY = "interlock"
_LASTING = frozenset({Gate.SCOPE, Gate.RULES})
"""The gates whose denial a person cannot wait out; a breaker or a budget may stand otherwise by then."""

_TOLD = frozenset({_S.EXPIRED, _S.DENIED, _S.FAILED})


class Proposals:
    """Follows the moves of actions for one process."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def follow(self, transaction: Transaction, was: Action | None, now: Action) -> None:
        """Propose, withdraw, settle or void, as a move asks for."""
        if was is None:
            return
        if now.follows:
            self._moved(transaction, now)
        elif now.state is _S.PENDING_SETTLEMENT:
            self._provisional(transaction, now)
        elif now.state is _S.SUCCEEDED:
            self._stands(transaction, now)
        elif now.state in (_S.COMPENSATING, _S.COMPENSATION_FAILED):
            self._withdraw(transaction, now)

    def _provisional(self, transaction: Transaction, action: Action) -> None:
        step = second_steps.of(transaction.connection, action.id)
        if step is None:
            return
        timers.put(transaction, settlements.DEADLINE, action.id, action.due_at)
        if not step.problem:
            propose(transaction, self._memory, action, step)

    def _stands(self, transaction: Transaction, action: Action) -> None:
        """Set the timer of a follow-up: of what has happened, and of what is not undone after all."""
        document = second_steps.declared(self._memory, action.tool)
        if document is None or document.follow_up is None:
            return
        step = second_steps.of(transaction.connection, action.id)
        if step is not None and step.kind is StepKind.FOLLOW_UP:
            timers.put(transaction, settlements.FOLLOW_UP, action.id, max(step.due_at, transaction.now))

    def _withdraw(self, transaction: Transaction, action: Action) -> None:
        """Take back a second step that was not sent: what it would make final is being taken back."""
        step = second_steps.of(transaction.connection, action.id)
        if step is None:
            return
        for kind in (settlements.DEADLINE, settlements.FOLLOW_UP):
            timers.clear(transaction, kind, action.id)
        second = second_steps.proposed(transaction.connection, step)
        if second is not None and second.cancellable:
            reason = f"{action.id} is taken back"
            approvals.cancel(transaction, self._memory, second, by=_BY, reason=reason)

    def _moved(self, transaction: Transaction, second: Action) -> None:
        action = actions.get(transaction.connection, second.follows)
        provisional = action.state is _S.PENDING_SETTLEMENT
        if second.state is _S.SUCCEEDED and provisional:
            settlements.settle(transaction, action, second)
        elif second.state is _S.REJECTED and provisional:
            by = self._rejecter(transaction, second)
            settlements.void(transaction, self._memory, action, by=by, reason=second.error, person=by)
        elif second.state in _TOLD and not (provisional and second.state is _S.EXPIRED):
            self._tell(transaction, action, second)
            if provisional and action.due_at <= transaction.now:
                timers.put(transaction, settlements.DEADLINE, action.id, transaction.now)

    def _rejecter(self, transaction: Transaction, second: Action) -> str:
        asked = approvals.find(transaction.connection, second.approval)
        return asked.decided_by if asked is not None else _BY

    def _tell(self, transaction: Transaction, action: Action, second: Action) -> None:
        """Tell who answers for the workflow that nothing was made final: it stays as it is."""
        left = (
            f"{action.id} ({action.tool}) stays as it is: {second.id} ({second.tool}) is {second.state.value}"
        )
        alert_events.raise_alert(
            transaction,
            self._memory,
            Raised(
                kind=AlertKind.SECOND_STEP_LEFT,
                subject=f"workflow:{action.workflow}",
                period=second.id,
                summary=left,
                facts={"action": action.id, "second_step": second.id, "tool": second.tool},
                workflow=action.workflow,
            ),
        )


def propose(transaction: Transaction, memory: Memory, action: Action, step: SecondStep) -> Action:
    """Write the second step of `action`: it waits for a person, or is denied where the policy forbids it.

    Raises `StateConflict` where another one was proposed first.
    """
    decision = _decide(transaction, memory, action, step)
    second = _draft(transaction, action, step, decision, memory)
    second_steps.take(transaction, step, second.id)
    expires_at = 0
    if decision.denied:
        actions.insert(transaction, second, process="", reason=f"follows {action.id}")
    else:
        asked = requests.draft(transaction, memory, second, decision)
        second, expires_at = replace(second, approval=asked.id, state=_S.WAITING_APPROVAL), asked.expires_at
        actions.insert(transaction, second, process="", reason=f"follows {action.id}")
        requests.put(transaction, memory, asked, second)
    body = {"follows": action.id, "kind": step.kind.value, "digest": second.digest}
    actions.record(transaction, "second_step.proposed", second, body=body)
    actions.count_call(transaction, second.run, second.tool)
    transaction.on_commit(lambda: memory.count_call(second.run, second.tool))
    return (
        _denied(transaction, memory, second, decision)
        if decision.denied
        else _wait(transaction, memory, second, expires_at)
    )


def _wait(transaction: Transaction, memory: Memory, second: Action, expires_at: int) -> Action:
    live = actions.live_of(second, expires_at=expires_at)
    transaction.tell(Topic.ACTION, second.id, environment=memory.environment)
    transaction.on_commit(lambda: memory.put_action(live))
    return second


def _denied(transaction: Transaction, memory: Memory, second: Action, decision: Decision) -> Action:
    reason = decision.reason
    denied = actions.move(transaction, second, _S.DENIED, by=_BY, reason=reason.code, error=reason.message)
    actions.record(transaction, "action.denied", denied, body=decisions.said(decision))
    actions.uncount_call(transaction, second.run, second.tool)
    transaction.on_commit(lambda: memory.uncount_call(second.run, second.tool))
    return denied


def _decide(transaction: Transaction, memory: Memory, action: Action, step: SecondStep) -> Decision:
    """Decide a second step as things stand; what may stand otherwise by then keeps no person from it."""
    principal = _principal(memory, action)
    request = Request(tool=step.tool, arguments=step.arguments or {}, digest=step.digest, principal=principal)
    snapshot = memory.snapshot(principal, step.tool)
    decision = admission.decide_second(request, snapshot, transaction.now, follows=action.tool)
    if decision.denied and decision.reason.gate not in _LASTING:
        return replace(decision, verdict=Verdict.REQUIRE_APPROVAL, reasons=(refusal.SECOND_STEP,))
    return decision


def _principal(memory: Memory, action: Action) -> Principal:
    return Principal(
        agent=IDENTITY,
        owner=str(action.principal.get("owner", "")),
        workflow=action.workflow,
        workflow_version=action.workflow_version,
        run=action.run,
        environment=memory.environment,
        token_id="",
        key_id="",
        epoch=0,
        expires_at=0,
        actors=(openings.agent_of(memory, action.workflow),),
    )


def _draft(
    transaction: Transaction, action: Action, step: SecondStep, decision: Decision, memory: Memory
) -> Action:
    return Action(
        id=transaction.ids.new("act"),
        run=action.run,
        agent=IDENTITY,
        workflow=action.workflow,
        workflow_version=action.workflow_version,
        tool=step.tool,
        arguments=step.arguments or {},
        digest=step.digest,
        state=_S.APPROVED,
        effect=decision.effect,
        tier=decision.tier,
        verdict=decision.verdict,
        bundle=decision.bundle,
        pin=decision.pin,
        created_at=transaction.now,
        updated_at=transaction.now,
        principal=actions.plain(_principal(memory, action)),
        decision=actions.plain(decision),
        follows=action.id,
    )
