"""The daily digest: make it at its owner's hour, and take what they say about each item (F1).

Each item can be objected to for as long as its window, from the moment it was listed. What is said is the
label of its trial: a reversal or a missing rule is a failure, and counts at once. A reversal itself is made
by who undoes actions; here is only said that it was wished for, once.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.action import Action
from interlock.core.alert import AlertKind
from interlock.core.bundle import Bundle
from interlock.core.model import SECOND
from interlock.errors import NotPermitted, StateConflict, UsageError
from interlock.store import actions, alert_events, digests, tiers, timers, trials
from interlock.store.alert_events import Raised
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.people import Person
from interlock.store.requests import roster
from interlock.store.tiers import Failure
from interlock.store.trials import Look, Mark, Trial, TrialState

_NAMED = 20
_WINDOW = 86_400


def may_review(bundle: Bundle | None, by: Person, owner: str) -> bool:
    """Whether a person answers for a digest: its owner, one of the team that owns it, or an admin."""
    return by.may("admin") or by.name in roster(bundle).members(owner) or by.name == owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """The use case with its handles."""

    store: Store
    memory: Memory

    @property
    def due(self) -> str:
        """The kind of timer by which digests are made; its reference is their owner."""
        return digests.kind(self.memory.environment)

    def make(self, transaction: Transaction, owner: str) -> None:
        """Make the digest of an owner, if anything ran, and set the next timer: what its timer does."""
        bundle, environment = self.memory.bundle, self.memory.environment
        if bundle is None:
            return
        found = trials.to_review(transaction.connection, environment, owner)
        timers.put(transaction, self.due, owner, digests.next_for(bundle, owner, transaction.now))
        if not found:
            return
        digest = digests.put(transaction, environment, owner=owner, items=len(found))
        for (workflow, tool), items in _by_record(found).items():
            until = transaction.now + _window(bundle, workflow) * SECOND
            trials.put_in(transaction, digest, [each.action for each in items], until=until)
            timers.ensure(transaction, f"trials:{environment}", f"{workflow} {tool}", until)
        transaction.audit("digest.made", person=owner, body={"digest": digest, "items": len(found)})
        self._announce(transaction, digest, owner, found)

    async def opened(self, digest: str, by: str) -> None:
        """Note that somebody who answers for it has it before their eyes."""
        await self.store.transact(lambda transaction: digests.opened(transaction, digest, by))

    async def find(self, name: str, *, by: Person) -> tuple[Trial, Action]:
        """Return an item and its action, if the person may still object to it now.

        Raises `NotFound`, `NotPermitted`, and `StateConflict` once its window is over or it was reversed.
        """
        environment, now = self.memory.environment, self.store.now()
        item = await self.store.read(lambda found: trials.get(found, name, environment))
        self._open(item, by, now)
        return item, await self.store.read(lambda found: actions.get(found, name))

    async def mark(self, name: str, mark: Mark, *, by: Person, reason: str, severe: bool = False) -> Trial:
        """Say what an item is; with `severe` every call of its tool waits for a person from now on.

        Raises `UsageError` where a reason is missing, and as `find` does.
        """
        said = reason.strip()[:2000]
        if mark is not Mark.FINE and not said:
            raise UsageError("Say why.", hint="--reason TEXT")
        if mark is Mark.FINE and severe:
            raise UsageError("What was severe was not fine.", hint="reverse or needs-rule, with --severe")
        return await self.store.transact(
            lambda transaction: self._mark(transaction, name, mark, by, said, severe=severe)
        )

    def _mark(
        self, transaction: Transaction, name: str, mark: Mark, by: Person, reason: str, *, severe: bool
    ) -> Trial:
        item = trials.get(transaction.connection, name, self.memory.environment)
        self._open(item, by, transaction.now)
        if mark is not Mark.FINE:
            self._object(transaction, item)
        trials.label(transaction, name, mark, by=by.name, reason=reason)
        body = {"mark": mark.value, "reason": reason, "severe": severe, "digest": item.digest}
        transaction.audit(
            "digest.marked", run=item.run, workflow=item.workflow, tool=item.tool, action=name,
            person=by.name, body=body,
        )  # fmt: skip
        if severe:
            tiers.severe(transaction, self.memory, item.workflow, item.tool, person=by.name, reason=reason)
        return trials.get(transaction.connection, name, self.memory.environment)

    def _object(self, transaction: Transaction, item: Trial) -> None:
        if item.state is TrialState.FAILED:  # undoing it has counted already
            return
        failure = Failure(
            action=item.action, run=item.run, workflow=item.workflow, tool=item.tool, basis=item.basis,
            created_at=item.created_at, audited=item.look is Look.AUDIT,
        )  # fmt: skip
        tiers.fail(transaction, self.memory, failure)
        trials.settle(transaction, item.action, TrialState.FAILED)

    def _open(self, item: Trial, by: Person, now: int) -> None:
        if not may_review(self.memory.bundle, by, item.owner):
            raise NotPermitted(
                f"{by.name[:60]} does not answer for this digest.", hint=f"{item.owner} does, or an admin."
            )
        if item.digest is None:
            raise StateConflict("It is in no digest yet.", hint="interlock digest list")
        if item.mark is Mark.REVERSE:
            raise StateConflict(f"{item.marked_by} had it reversed already: {item.reason}.")
        if item.matures_at <= now:
            raise StateConflict(
                "The time to object to it is over.", hint="Undo what it did by hand, and demote the workflow."
            )

    def _announce(self, transaction: Transaction, digest: str, owner: str, found: list[Trial]) -> None:
        """Tell its owner. Names are those of the manifest and ids our own: no word of an agent is told."""
        audits = sum(each.look is Look.AUDIT for each in found)
        lines = [f"{each.tool} by {each.workflow}: {each.action}" for each in found[:_NAMED]]
        more = len(found) - len(lines)
        said = [*lines, f"and {more} more"] if more else lines
        summary = f"{len(found)} call{'' if len(found) == 1 else 's'} ran without asking a person first"
        facts = {"digest": digest, "items": len(found), "audits": audits, "calls": "; ".join(said)}
        raised = Raised(
            kind=AlertKind.DIGEST_READY, subject=f"person:{owner}", period=digest, summary=summary,
            facts=dict(facts), workflow=found[0].workflow, route=(owner,),
        )  # fmt: skip
        event = alert_events.raise_alert(transaction, self.memory, raised)
        if event is not None:
            digests.announce(transaction, digest, event.id)


def _by_record(found: list[Trial]) -> dict[tuple[str, str], list[Trial]]:
    records: dict[tuple[str, str], list[Trial]] = {}
    for each in found:
        records.setdefault((each.workflow, each.tool), []).append(each)
    return records


def _window(bundle: Bundle, workflow: str) -> int:
    compiled = bundle.workflows.get(workflow)
    return _WINDOW if compiled is None else compiled.document.autonomy.window
