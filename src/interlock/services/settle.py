"""Write down how a call ended: outcome, audit entry, the labels its output puts on the run (second commit).

A definite answer ends the action. No answer leaves a write in doubt, or has it sent again where its tool
knows its key. What never left this process did not happen, and its reserved call is given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never, cast

import msgspec

from interlock.core import taint
from interlock.core.action import Action, ActionState
from interlock.core.model import SECOND, Json, Request, Source
from interlock.errors import StateConflict, StoreError
from interlock.runtime import Runtime
from interlock.store import actions, doubts, runs
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.memory import Memory
from interlock.upstream.executor import Failed, InputNeeded, NotSent, Outcome, Succeeded, Unknown

Counted = Callable[[Transaction], None] | None
UNWRITTEN = (
    "The call was sent and has ended, but its outcome cannot be recorded yet. It is recorded as soon as the "
    "store can be written; ask for it again then, and do not send another call."
)
_ASKED_LATE = "When it was sent again, the tool asked for input."
_NOBODY_THERE = "Its tool asked for input, and nobody is there to give it."
_HEARD = {
    "succeeded": "answered it",
    "failed": "reported an error",
    "input_needed": "asked for input",
}


def uncounted(_request: Request, _outcome: Outcome) -> Counted:
    """Stand for the breakers of a process that has none."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The second half of a governed call. `call_timeout` is in seconds.

    `counts` says what the end of a read counts for breakers: that is written in the commit of its outcome.
    """

    store: Store
    memory: Memory
    runtime: Runtime
    call_timeout: int
    counts: Callable[[Request, Outcome], Counted] = uncounted

    async def outcome(self, action: Action, outcome: Outcome) -> Action:
        """Record how an executing action ended, and return it as it is now.

        Raises `StateConflict` when somebody else moved it, `StoreError` when it cannot be written now.
        """
        ending = self._ending(action, outcome)
        source = self._source(action.tool) if _has_output(outcome) else None
        try:
            return await self.store.transact(
                lambda transaction: self._settle(transaction, action, ending, source)
            )
        except StateConflict:  # it was put in doubt meanwhile: a definite outcome still ends it
            if isinstance(ending, Unknown) or not ending[0].final:
                raise
            return await self.store.transact(
                lambda transaction: self._settle(
                    transaction, doubts.doubted(transaction, action), ending, source
                )
            )

    async def read(self, request: Request, outcome: Outcome) -> None:
        """Record how a read ended. Only a label that is new (H7) and what breakers count wait for a commit.

        Raises `StoreError` when it cannot be recorded now; nothing has been done then, so it can be repeated.
        """
        principal = request.principal
        if _has_output(outcome):
            await self._label_read(principal.run, self._source(request.tool))
        entry = JournalEntry(
            at=self.runtime.clock.now(),
            kind="call.outcome",
            body={"outcome": _word(outcome), "digest": request.digest},
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
            tool=request.tool,
        )
        counted = self.counts(request, outcome)
        if counted is None:
            await self.store.journal(entry)
        else:
            await self.store.transact(lambda transaction: _together(transaction, entry, counted))
        if isinstance(outcome, NotSent):
            self.memory.uncount_call(principal.run, request.tool)

    def _ending(self, action: Action, outcome: Outcome) -> tuple[ActionState, dict[str, Any]] | Unknown:
        """Return where the action goes and what changes; unknown is where an earlier attempt leaves it so."""
        if action.follows and isinstance(outcome, InputNeeded):
            return ActionState.FAILED, {"result": outcome.payload, "error": _NOBODY_THERE}
        if action.attempt > 1 and isinstance(outcome, NotSent | InputNeeded):
            return Unknown(message=outcome.message if isinstance(outcome, NotSent) else _ASKED_LATE)
        match outcome:
            case Succeeded(payload=payload):
                return ActionState.SUCCEEDED, {"result": payload, "error": ""}
            case Failed(message=message, payload=payload):
                return ActionState.FAILED, {"result": payload, "error": message}
            case NotSent(message=message):
                return ActionState.FAILED, {"result": None, "error": message, "lease_until": 0}
            case Unknown():
                return outcome
            case InputNeeded(payload=payload):
                state, asked = self.ask_for_input(action.id, payload)
                return ActionState.AWAITING_INPUT, {"result": asked, "input_state": state, "error": ""}
            case _:
                assert_never(outcome)

    def ask_for_input(self, action: str, payload: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        """Return what to keep, and what to tell the caller, when a tool asks for input.

        The caller gets a state of ours that names the action and cannot be guessed; the tool server's own
        state never leaves this process.
        """
        nonce = self.runtime.ids.new("inp")
        kept = {"nonce": nonce, "upstream": payload.get("requestState")}
        return msgspec.json.encode(kept).decode(), {**payload, "requestState": f"{action}.{nonce}"}

    def _settle(
        self,
        transaction: Transaction,
        action: Action,
        ending: tuple[ActionState, dict[str, Any]] | Unknown,
        source: Source | None,
    ) -> Action:
        if isinstance(ending, Unknown):
            ended = doubts.unanswered(
                transaction, self.memory, action, ending.message, timeout=self.call_timeout * SECOND
            )
            transaction.on_commit(lambda: self._settled(ended, unsent=False))
            return ended
        state, changes = ending
        ended = actions.move(transaction, action, state, by="interlock", **changes)
        if source is not None:
            self._label(transaction, action.run, source)
        unsent = state is ActionState.FAILED and ended.lease_until == 0
        if unsent:
            actions.uncount_call(transaction, action.run, action.tool)
            actions.free_key(transaction, action)
        body = {"digest": action.digest, "sent": not unsent}
        actions.record(transaction, f"action.{state.value}", action, body=body)
        transaction.on_commit(lambda: self._settled(ended, unsent=unsent))
        return ended

    def _settled(self, action: Action, *, unsent: bool) -> None:
        if unsent:
            self.memory.uncount_call(action.run, action.tool)
        self.memory.put_action(actions.live_of(action))

    def _source(self, tool: str) -> Source:
        bundle = self.memory.bundle
        server = bundle.servers.get(tool.split(".", 1)[0]) if bundle is not None else None
        return server.source if server is not None else Source.UNKNOWN

    async def _label_read(self, run: str, source: Source) -> None:
        facts = self.memory.runs.get(run)
        if facts is None or source.value not in facts.labels:
            await self.store.transact(lambda transaction: self._label(transaction, run, source))

    def _label(self, transaction: Transaction, run: str, source: Source) -> None:
        """Add the source's label to the run, on disk and in memory, unless the run has it already."""
        facts = self.memory.runs.get(run)
        if facts is not None and source.value in facts.labels:
            return
        known = runs.find(transaction.connection, run)
        labels = taint.collect(frozenset(known.labels) if known is not None else frozenset(), source)
        actions.label_run(transaction, run, sorted(labels))
        transaction.on_commit(lambda: self.memory.label_run(run, labels))


def _together(transaction: Transaction, entry: JournalEntry, counted: Callable[[Transaction], None]) -> None:
    transaction.audit(
        entry.kind,
        run=entry.run,
        agent=entry.agent,
        workflow=entry.workflow,
        tool=entry.tool,
        body=cast("dict[str, Json]", entry.body),
    )
    counted(transaction)


def unrecorded(outcome: Outcome, error: StoreError) -> str:
    """Say what is known of a read whose outcome cannot be recorded: its answer is never handed out then."""
    if isinstance(outcome, NotSent | Unknown):
        return outcome.message
    return (
        f"The call was sent and the tool server {_HEARD[_word(outcome)]}, but that cannot be recorded now, "
        f"so its answer is withheld: {error.message} The call only read: make it again when the store can "
        "be written."
    )


def _has_output(outcome: Outcome) -> bool:
    return isinstance(outcome, Succeeded | InputNeeded) or (
        isinstance(outcome, Failed) and outcome.payload is not None
    )


def _word(outcome: Outcome) -> str:
    match outcome:
        case Succeeded():
            return "succeeded"
        case Failed():
            return "failed"
        case NotSent():
            return "not_sent"
        case Unknown():
            return "unknown"
        case InputNeeded():
            return "input_needed"
        case _:
            assert_never(outcome)
