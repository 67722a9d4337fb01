"""What follows from an undo, in the commit of the move: its own action, and what becomes of the undone.

An action that begins to be undone gets its undo here, and the end of the undo moves it on. When an undo has
ended, the next one of its run has its turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.core import compensation
from interlock.core.action import Action, ActionState
from interlock.core.alert import AlertKind
from interlock.core.compensation import RECOVERY, Undo
from interlock.core.model import Decision, EffectClass, Gate, Json, Principal, Reason, RiskTier, Verdict
from interlock.errors import StateConflict
from interlock.store import actions, alert_events, second_steps, undos
from interlock.store.alert_events import Raised
from interlock.store.memory import LiveAction, Memory
from interlock.store.news import Topic
from interlock.store.transaction import Transaction

_S = ActionState
_LOST = frozenset({_S.FAILED, _S.IN_DOUBT})
_OVER = _LOST | {_S.SUCCEEDED, _S.CANCELLED}
_AGAIN = {_S.CANCELLED: _S.APPROVED, _S.FAILED: _S.RETRY, _S.IN_DOUBT: _S.RETRY}
_BY = "interlock"


class Recoveries:
    """Follows the moves of actions for one process. Undos run under an identity of their own (E3)."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def land(
        self, transaction: Transaction, action: Action, to: ActionState, changes: Mapping[str, Any]
    ) -> tuple[ActionState, Mapping[str, Any]]:
        """Register the undo of what succeeds; undo it at once where its run is being undone."""
        return undos.landing(transaction, self._memory, action, to, changes.get("result"))

    def follow(self, transaction: Transaction, was: Action | None, now: Action) -> None:
        """Begin the undo of what is to be undone; move on what was undone, or could not be."""
        if now.comp_of:
            if was is not None and now.state in _OVER:
                self._ended(transaction, now)
        elif now.state is _S.COMPENSATING and was is not None:
            self._begin(transaction, was, now)
        elif now.state is _S.COMPENSATION_FAILED and was is not None and was.state is _S.PENDING_SETTLEMENT:
            summary = f"{now.id} ({now.tool}) was to be voided, and that cannot even be tried"
            self._alarm(transaction, now, now.tool, summary, now.id)

    def _begin(self, transaction: Transaction, was: Action, action: Action) -> None:
        known = undos.undoing(transaction.connection, action.id)
        undo = undos.of(transaction.connection, self._memory, action)
        if undo is None or undo.arguments is None:
            raise StateConflict(f"The action {action.id} cannot be undone.")
        if known is None:
            begun = self._draft(transaction, was, action, undo)
            actions.insert(transaction, begun, process="", reason=f"undoes {action.id}")
        else:
            begun = actions.move(
                transaction, known, _AGAIN[known.state], by=_BY, reason="a person has it tried again",
                error="", result=None, due_at=0,
            )  # fmt: skip
        body = {"undoes": action.id, "tool": action.tool, "digest": begun.digest, "again": known is not None}
        actions.record(transaction, "undo.begun", begun, body=body)
        self._put(transaction, action)
        self._wake(transaction, action.run)

    def _draft(self, transaction: Transaction, was: Action, action: Action, undo: Undo) -> Action:
        bundle = self._memory.bundle
        tool = None if bundle is None else bundle.tools.get(undo.tool)
        pin = self._memory.pins.get(undo.tool)
        decision = _reviewed(
            action,
            undo,
            tier=RiskTier.HIGH_BLAST_RADIUS if tool is None else tool.tier,
            effect=compensation.effect_of(EffectClass.ONCE if tool is None else tool.effect),
            bundle="" if bundle is None else bundle.digest,
            pin="" if pin is None else pin.digest,
            now=transaction.now,
        )
        return Action(
            id=transaction.ids.new("act"),
            run=action.run,
            agent=RECOVERY,
            workflow=action.workflow,
            workflow_version=action.workflow_version,
            tool=undo.tool,
            arguments=undo.arguments or {},
            digest=undo.digest,
            state=_S.APPROVED,
            effect=decision.effect,
            tier=decision.tier,
            verdict=decision.verdict,
            bundle=decision.bundle,
            pin=decision.pin,
            created_at=transaction.now,
            updated_at=transaction.now,
            principal=actions.plain(self._recovery(action)),
            decision=actions.plain(decision),
            due_at=compensation.begins_at(was, transaction.now),
            comp_of=action.id,
        )

    def _recovery(self, action: Action) -> Principal:
        return Principal(
            agent=RECOVERY,
            owner=str(action.principal.get("owner", "")),
            workflow=action.workflow,
            workflow_version=action.workflow_version,
            run=action.run,
            environment=self._memory.environment,
            token_id="",
            key_id="",
            epoch=0,
            expires_at=0,
        )

    def _ended(self, transaction: Transaction, undo: Action) -> None:
        action = actions.get(transaction.connection, undo.comp_of)
        if undo.state is _S.SUCCEEDED and action.state in (_S.COMPENSATING, _S.COMPENSATION_FAILED):
            voided = second_steps.is_settlement(transaction.connection, action.id)
            self._move(transaction, action, _S.VOIDED if voided else _S.COMPENSATED, undo, "")
        elif action.state is _S.COMPENSATING and undo.state in _LOST:
            summary = f"{action.id} ({action.tool}) was to be undone by {undo.tool}, and that failed"
            # before the breaker opens for it: people hear of it once
            self._alarm(transaction, action, undo.tool, summary, f"{action.id}:{undo.attempt}")
            self._move(transaction, action, _S.COMPENSATION_FAILED, undo, f"Its undo failed: {undo.error}")
        elif action.state is _S.COMPENSATING and undo.state is _S.CANCELLED:
            happened = action.result is not None
            self._move(transaction, action, _S.SUCCEEDED if happened else _S.IN_DOUBT, undo, undo.error)
        self._put(transaction, undo)
        transaction.on_commit(lambda: self._memory.forget_action(undo.id))
        self._wake(transaction, undo.run)

    def _move(
        self, transaction: Transaction, action: Action, to: ActionState, undo: Action, error: str
    ) -> None:
        moved = actions.move(transaction, action, to, by=undo.agent, reason=f"by {undo.id}", error=error)
        actions.record(transaction, f"action.{to.value}", moved, body={"by": undo.id, "tool": undo.tool})
        self._put(transaction, moved)

    def _alarm(self, transaction: Transaction, action: Action, tool: str, summary: str, period: str) -> None:
        facts: dict[str, Json] = {"action": action.id, "run": action.run, "tool": tool}
        alert_events.raise_alert(
            transaction,
            self._memory,
            Raised(
                kind=AlertKind.UNDO_FAILED,
                subject=f"workflow:{action.workflow}",
                period=period,
                summary=summary,
                facts=facts,
                workflow=action.workflow,
            ),
        )

    def _wake(self, transaction: Transaction, run: str) -> None:
        """Let the undo whose turn it is begin, in whichever process carries out calls."""
        found = undos.next_of(transaction.connection, run)
        if found is None:
            return
        live = actions.live_of(found)
        transaction.tell(Topic.ACTION, found.id, environment=self._memory.environment)
        transaction.on_commit(lambda: self._memory.put_action(live))

    def _put(self, transaction: Transaction, action: Action) -> None:
        """Tell who waits for an action; what was told and let go of already is not known again."""
        live = actions.live_of(action)
        transaction.on_commit(lambda: self._known(live))

    def _known(self, live: LiveAction) -> None:
        if live.id in self._memory.actions:
            self._memory.put_action(live)


def _reviewed(
    action: Action, undo: Undo, *, tier: RiskTier, effect: EffectClass, bundle: str, pin: str, now: int
) -> Decision:
    """Return the decision on an undo: it was made when the manifest that declares it was applied."""
    reason = Reason(
        gate=Gate.APPROVAL,
        code="undo",
        message=f"It undoes {action.id} ({action.tool}), as was reviewed when the undo was declared (E3).",
        verdict=Verdict.ALLOW,
    )
    return Decision(
        verdict=Verdict.ALLOW,
        reasons=(reason,),
        tier=tier,
        effect=effect,
        bundle=bundle,
        pin=pin,
        decided_at=now,
        digest=undo.digest,
    )
