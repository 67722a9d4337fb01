"""A person decides on a call that waits: approve, change the arguments, or reject (F2, F4).

One commit holds the decision, the action's move and the audit entry. Of two people who decide at once
exactly one is written; the other is told. Where it takes two, the first yes is written down and the second
decides. What does not count changes nothing and is put on record. The engine executes afterwards, decided
anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from interlock.core import admission, canonical
from interlock.core.action import Action, ActionState, after_approval
from interlock.core.approval import Act, Approval, Decider, Kind, answered, decide, missing_votes, vote
from interlock.core.model import Decision, Json, Request
from interlock.core.reach import Measured
from interlock.core.snapshot import SchemaCheck
from interlock.errors import NotPermitted, StateConflict, UsageError
from interlock.runtime import Runtime
from interlock.store import actions, approvals, revisions, rulings
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.revisions import Change

T = TypeVar("T")
_LONGEST_ANSWER = 20_000
Measuring = Callable[[Request], Awaitable[Measured | None]]


async def _nothing_measures(_: Request) -> Measured | None:
    return None


def _nothing_checks(_: Json) -> SchemaCheck:
    return lambda _value: "nothing here can check it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """Decisions of people. `self_approval` is honoured in the environment dev only.

    `measure` says how far changed arguments reach, where a preview is declared (A1); `check` makes of a JSON
    Schema what says why a value does not fit it.
    """

    store: Store
    memory: Memory
    runtime: Runtime
    process: str = ""
    self_approval: bool = False
    measure: Measuring = _nothing_measures
    check: Callable[[Json], SchemaCheck] = _nothing_checks

    async def approve(self, approval: str, person: Decider, *, reason: str = "", shown: str = "") -> Approval:
        """Let the call pass as it was asked, or agree where it takes two.

        With `shown`, only if that is the digest of its arguments. Raises `NotPermitted`, `StateConflict`,
        `NotFound`.
        """
        return await self._try(
            approval,
            Act.APPROVE,
            person,
            lambda transaction: self._approve(transaction, approval, person, reason, shown),
        )

    async def reject(self, approval: str, person: Decider, *, reason: str, shown: str = "") -> Approval:
        """Turn the call down. Raises `UsageError` without a reason, and as `approve` does."""
        return await self._try(
            approval,
            Act.REJECT,
            person,
            lambda transaction: self._reject(transaction, approval, person, reason, shown),
        )

    async def answer(self, approval: str, person: Decider, *, value: Json, reason: str = "") -> Approval:
        """Answer a question: in words, or with a value that fits its schema. The agent reads the answer.

        Raises `UsageError` where it does not fit, and as `approve` does.
        """
        return await self._try(
            approval, Act.ANSWER, person,
            lambda transaction: self._answer(transaction, approval, person, value, reason),
        )  # fmt: skip

    async def modify(
        self,
        approval: str,
        person: Decider,
        *,
        arguments: Mapping[str, Json],
        reason: str,
        four_eyes: bool = False,
    ) -> Approval:
        """Let the call pass with other arguments: a new revision, checked and decided like a new call.

        With `four_eyes` somebody else approves it. Raises `UsageError` when the arguments are not valid,
        are the same, or would be denied; nothing is changed then. Otherwise as `approve`.
        """
        try:
            canonical.check(dict(arguments))
            digest = canonical.digest(dict(arguments))
        except canonical.NotCanonical as error:
            raise UsageError(f"The arguments are not acceptable: {error}.") from error
        action = await self._try(
            approval, Act.MODIFY, person,
            lambda transaction: self._modifiable(transaction, approval, person, reason),
        )  # fmt: skip
        request = replace(actions.request_of(action), arguments=arguments, digest=digest)
        measured = await self.measure(request)
        return await self._try(
            approval, Act.MODIFY, person,
            lambda transaction: self._modify(
                transaction, approval, person, request=request, measured=measured, reason=reason,
                four_eyes=four_eyes,
            ),
        )  # fmt: skip

    async def _try(self, approval: str, act: Act, person: Decider, work: Callable[[Transaction], T]) -> T:
        """Do `work` in one commit. An act that does not count changes nothing and is put on record."""
        try:
            return await self.store.transact(work)
        except (StateConflict, NotPermitted, UsageError) as refused:
            code = refused.code
            await self.store.transact(
                lambda transaction: rulings.refused(transaction, approval, act, person, code)
            )
            refused.on_record = True
            raise

    def _approve(
        self, transaction: Transaction, name: str, person: Decider, reason: str, shown: str
    ) -> Approval:
        asked, action = self._admissible(transaction, name, Act.APPROVE, person, reason, shown)
        if missing_votes(asked) > 1:
            return self._vote(transaction, asked, action, person, reason)
        decided = decide(asked, Act.APPROVE, person, reason=reason, now=transaction.now)
        approvals.settle(transaction, decided)
        state, due_at = after_approval(self.memory.delay_of(action.tool), transaction.now)
        moved = actions.move(transaction, action, state, by=person.name, reason=reason.strip(), due_at=due_at)
        rulings.record(transaction, self.memory, "approval.approved", moved, decided)
        return decided

    def _answer(
        self, transaction: Transaction, name: str, person: Decider, value: Json, reason: str
    ) -> Approval:
        asked, action = self._admissible(transaction, name, Act.ANSWER, person, reason)
        problem = self._unfit(asked, action, value)
        if problem:
            raise UsageError(f"This answer does not fit: {problem}.", hint=f"interlock approvals show {name}")
        decided = answered(asked, person, value, reason=reason, now=transaction.now)
        approvals.settle(transaction, decided)
        if not asked.of_server:  # a call that was sent already goes on by itself
            action = actions.move(
                transaction, action, ActionState.APPROVED, by=person.name, reason=decided.reason
            )
        rulings.record(transaction, self.memory, "approval.answered", action, decided)
        return decided

    def _unfit(self, asked: Approval, action: Action, value: Json) -> str | None:
        """Say why `value` is no answer to what is asked, or None."""
        if len(msgspec.json.encode(value)) > _LONGEST_ANSWER:
            return f"it is longer than {_LONGEST_ANSWER} bytes"
        if asked.kind is Kind.ANSWER:
            return None if isinstance(value, str) and value.strip() else "words are wanted"
        source = asked.arguments if asked.of_server else action.arguments
        schema: Json = {"type": "object", "properties": {"value": (source or {}).get("schema")}}
        return self.check(schema)({"value": value})

    def _vote(
        self, transaction: Transaction, asked: Approval, action: Action, person: Decider, reason: str
    ) -> Approval:
        """Write the first yes of two down: the call waits on for another person."""
        voted = vote(asked, person, reason=reason, now=transaction.now)
        given = voted.votes[-1]
        approvals.put_vote(transaction, asked.id, given)
        body = {
            **rulings.about(voted),
            "reason": given.reason,
            "agreed": len(voted.votes),
            "needs": voted.needs,
        }
        actions.record(transaction, "approval.voted", action, person=person.name, body=body)
        return voted

    def _reject(
        self, transaction: Transaction, name: str, person: Decider, reason: str, shown: str
    ) -> Approval:
        asked, action = self._admissible(transaction, name, Act.REJECT, person, reason, shown)
        decided = decide(asked, Act.REJECT, person, reason=reason, now=transaction.now)
        approvals.settle(transaction, decided)
        if asked.of_server:
            rulings.record(transaction, self.memory, "approval.rejected", action, decided)
            return decided
        moved = actions.move(
            transaction, action, ActionState.REJECTED, by=person.name, reason=decided.reason,
            error=decided.reason,
        )  # fmt: skip
        actions.uncount_call(transaction, action.run, action.tool)
        transaction.on_commit(lambda: self.memory.uncount_call(action.run, action.tool))
        rulings.record(transaction, self.memory, "approval.rejected", moved, decided)
        return decided

    def _modify(
        self,
        transaction: Transaction,
        name: str,
        person: Decider,
        *,
        request: Request,
        measured: Measured | None,
        reason: str,
        four_eyes: bool,
    ) -> Approval:
        asked, action = self._admissible(transaction, name, Act.MODIFY, person, reason)
        if request.digest == action.digest:
            raise UsageError("The arguments are the same.", hint=f"interlock approvals approve {name}")
        decision = self._decide(request, measured)
        old = decide(asked, Act.MODIFY, person, reason=reason, now=transaction.now)
        change = Change(
            old=old, action=action, request=request, decision=decision, person=person, four_eyes=four_eyes
        )
        return revisions.put(transaction, self.memory, change, process=self.process)

    def _modifiable(self, transaction: Transaction, name: str, person: Decider, reason: str) -> Action:
        action = self._admissible(transaction, name, Act.MODIFY, person, reason)[1]
        if action.follows:
            raise UsageError(
                "A second step is what its manifest declares: nobody changes its arguments.",
                hint=f"interlock approvals reject {name} --reason TEXT",
            )
        return action

    def _decide(self, request: Request, measured: Measured | None) -> Decision:
        """Decide the changed call as if the agent had asked for it. Raises `UsageError` on a denial."""
        snapshot = self.memory.snapshot(request.principal, request.tool, measured=measured, own=1)
        decision = admission.decide(request, snapshot, self.runtime.clock.now())
        if decision.denied:
            raise UsageError(
                f"With these arguments the call would be denied: {decision.reason.message}",
                hint="Nothing was changed; the original still waits.",
            )
        return decision

    def _admissible(
        self, transaction: Transaction, name: str, act: Act, person: Decider, reason: str, shown: str = ""
    ) -> tuple[Approval, Action]:
        """Return the request, held until the commit, and its action. Raises what speaks against the act."""
        return rulings.admissible(
            transaction, name, act, person, reason=reason, shown=shown, self_approval=self.self_approval
        )
