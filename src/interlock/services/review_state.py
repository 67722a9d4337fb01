"""Go through what a withdrawn version did: a person keeps or undoes each action; then the review closes (E4).

What is to be undone is a plan first. Its hash is confirmed by the person and signed, and stands only while
nothing in it has moved. All of it begins in one commit, newest first, so a crash in the middle changes
nothing: the undos are actions like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from interlock.core import compensation, rollback
from interlock.core.action import Action, ActionState
from interlock.core.canonical import digest
from interlock.core.model import Json
from interlock.core.rollback import Found, Mark
from interlock.core.tool import server_of
from interlock.errors import NotFound, StateConflict, UsageError
from interlock.store import actions, state_reviews, undos
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.state_reviews import StateDecision, StateReview

_CAN_BE_UNDONE = frozenset({Mark.UNDOABLE, Mark.TOUCHED})
_NAMED = 5
Sign = Callable[[Mapping[str, Json]], tuple[str, str]]
"""Signs claims with the environment's key; returns the signature and the key's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A review with everything in it, what was decided, and what is left.

    `open_runs` may still add to it, so it does not close before they have ended.
    """

    review: StateReview
    found: tuple[Found, ...]
    decisions: Mapping[str, StateDecision]
    left: tuple[str, ...]
    open_runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoPlan:
    """What would be undone, in this order, and the hash that a person confirms."""

    review: str
    actions: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewState:
    """The use cases of one environment's state reviews."""

    store: Store
    memory: Memory
    sign: Sign

    async def show(self, name: str) -> Reviewed:
        """Return a review as it stands. Raises `NotFound`."""
        now = self.store.now()
        return await self.store.read(lambda found: self._reviewed(found, name, now))

    async def keep(self, name: str, wanted: Sequence[str], *, person: str, reason: str) -> Reviewed:
        """Let actions stand; with none named, close a review in which nothing is left to decide.

        Raises `UsageError` without a reason, `NotFound`, `StateConflict`; that also where a review is to be
        closed whose runs are open.
        """
        if not reason.strip():
            raise UsageError("To let an action stand needs a reason.", hint="Add --reason.")
        await self.store.transact(lambda each: self._keep(each, name, wanted, person, reason.strip()))
        return await self.show(name)

    async def plan(self, name: str, wanted: Sequence[str]) -> UndoPlan:
        """Return what undoing these actions means. Raises `StateConflict` where one cannot be undone."""
        now = self.store.now()
        return await self.store.read(
            lambda found: self._plan(found, self._reviewed(found, name, now), wanted)
        )

    async def undo(
        self, name: str, wanted: Sequence[str], *, confirmed: str, person: str, reason: str
    ) -> Reviewed:
        """Begin to undo the actions of the plan whose hash is `confirmed`, all in one commit.

        Raises `StateConflict` where the plan is another by now, `UsageError` without a reason.
        """
        if not reason.strip():
            raise UsageError("To undo needs a reason.", hint="Add --reason.")
        await self.store.transact(
            lambda each: self._undo(each, name, wanted, confirmed, person, reason.strip())
        )
        return await self.show(name)

    def _reviewed(self, connection: sa.Connection, name: str, now: int) -> Reviewed:
        review = state_reviews.get(connection, name)
        questioned = state_reviews.in_question(connection, review)
        servers = sorted({server_of(each.tool) for each in questioned})
        later = state_reviews.since(connection, review, servers)
        irreversible = {each.id: why for each in questioned if (why := self._why_not(connection, each, now))}
        found = tuple(rollback.found(questioned, later, irreversible))
        decided = state_reviews.decisions(connection, name)
        left = rollback.undecided(found, {each: word.decision for each, word in decided.items()})
        return Reviewed(
            review=review,
            found=found,
            decisions=decided,
            left=tuple(each.action.id for each in left),
            open_runs=tuple(state_reviews.still_open(connection, review)),
        )

    def _why_not(self, connection: sa.Connection, action: Action, now: int) -> str:
        """Return why an action cannot be undone now, "" where it can or where nothing happened."""
        kept = compensation.kept(action, undos.of(connection, self.memory, action), now)
        return "" if kept is None else kept.message

    def _keep(
        self, transaction: Transaction, name: str, wanted: Sequence[str], person: str, reason: str
    ) -> None:
        known = self._open(transaction, name)
        if not wanted and not known.left and known.open_runs:
            raise StateConflict(
                f"Runs of the withdrawn version are open and may still act: {_some(known.open_runs)}.",
                hint=f"interlock runs end {known.open_runs[0]} --reason TEXT, or wait until they have ended.",
            )
        for each in _named(known, wanted) if wanted or known.left else ():
            if each.mark is Mark.UNDER_WAY:
                raise StateConflict(
                    f"{each.action.id} has not been sent yet: it is not decided by letting it stand.",
                    hint=f"interlock actions cancel {each.action.id}",
                )
            state_reviews.decide(
                transaction, known.review, each.action, decision="keep", person=person, reason=reason
            )
        self._close_if_over(transaction, name, person)

    def _undo(
        self,
        transaction: Transaction,
        name: str,
        wanted: Sequence[str],
        confirmed: str,
        person: str,
        reason: str,
    ) -> None:
        known = self._open(transaction, name)
        plan = self._plan(transaction.connection, known, wanted)
        if plan.digest != confirmed:
            raise StateConflict(
                "This is not the plan that was confirmed: something in it has moved meanwhile.",
                hint=f"Look again: interlock rollback state {name}",
            )
        claims: dict[str, Json] = {"plan": plan.digest, "review": name, "person": person}
        signature, kid = self.sign(claims | {"iat": transaction.now // 1_000_000})
        body = msgspec.json.encode(plan).decode()
        state_reviews.keep_plan(
            transaction,
            known.review,
            digest=plan.digest,
            body=body,
            signature=signature,
            kid=kid,
            person=person,
        )
        for each in _named(known, plan.actions):
            state_reviews.decide(
                transaction, known.review, each.action, decision="undo", person=person, reason=reason
            )
            actions.move(transaction, each.action, ActionState.COMPENSATING, by=person, reason=reason)
        self._close_if_over(transaction, name, person)

    def _plan(self, connection: sa.Connection, known: Reviewed, wanted: Sequence[str]) -> UndoPlan:
        chosen = _named(known, wanted)
        for each in chosen:
            if each.mark not in _CAN_BE_UNDONE:
                raise StateConflict(f"{each.action.id} cannot be undone: {each.why}.")
        ordered = compensation.in_order([each.action for each in chosen])
        body = [
            {
                "action": each.id,
                "state": each.state.value,
                "fence": each.fence,
                "undo": self._said(connection, each),
            }
            for each in ordered
        ]
        name = known.review.id
        return UndoPlan(
            review=name,
            actions=tuple(each.id for each in ordered),
            digest=digest({"review": name, "actions": body}),
        )

    def _said(self, connection: sa.Connection, action: Action) -> dict[str, Json]:
        undo = undos.of(connection, self.memory, action)
        return {} if undo is None else {"tool": undo.tool, "digest": undo.digest}

    def _open(self, transaction: Transaction, name: str) -> Reviewed:
        known = self._reviewed(transaction.connection, name, transaction.now)
        if known.review.closed_at is not None:
            raise StateConflict(f"The review {name} is closed.")
        return known

    def _close_if_over(self, transaction: Transaction, name: str, person: str) -> None:
        known = self._reviewed(transaction.connection, name, transaction.now)
        if not known.left and not known.open_runs:
            state_reviews.close(transaction, known.review, by=person)


def _some(names: Sequence[str]) -> str:
    """Return names in words, the first few of many."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _named(known: Reviewed, wanted: Sequence[str]) -> list[Found]:
    """Return the named actions of a review. Raises `NotFound` for one that is none of it, `UsageError`."""
    if not wanted:
        raise UsageError("Name at least one action of the review.")
    there = {each.action.id: each for each in known.found}
    missing = next((each for each in wanted if each not in there), None)
    if missing is not None:
        raise NotFound(f"The review {known.review.id} has no action {missing}.")
    return [there[each] for each in dict.fromkeys(wanted)]
