"""Follow what agents do into their track records: trials are noted, and mature by the clock (F1, F3).

A failure counts in the commit that it happens in, and a tier that is lost is lost there. A clean trial counts
when its time is over. What is to be looked at waits for its digest first, and is evidence only if that
reached its owner: what nobody had before their eyes is no success.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.autonomy import audited, chance_of
from interlock.core.bundle import Bundle
from interlock.core.model import MINUTE, SECOND, Verdict
from interlock.core.track_record import Finding, TrackRecord, basis_of, counted, finding_of
from interlock.store import digests, tiers, timers, track_records, trials
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.schema import approvals
from interlock.store.tiers import Failure
from interlock.store.trials import NEVER, Look, Mark, Trial, TrialState

_WELL = frozenset({ActionState.SUCCEEDED, ActionState.SETTLED})
_COUNTED = frozenset({TrialState.FAILED, TrialState.CLEAN})
_KNOWN = 1000


@dataclass(slots=True, kw_only=True)
class TrackRecords:
    """The track records of one process. `load` them before the first call.

    `_bases` keeps the version of each workflow and tool by the policy and pin that it was decided on.
    """

    store: Store
    memory: Memory
    _bases: dict[tuple[str, str, str, str], str] = field(default_factory=dict[tuple[str, str, str, str], str])

    def __post_init__(self) -> None:
        self.memory.on_bundle.append(self._derive)
        self.memory.on_pin.append(self._derive)

    @property
    def matures(self) -> str:
        """The kind of timer by which trials mature; its reference is workflow and tool."""
        return f"trials:{self.memory.environment}"

    async def load(self) -> None:
        """Decide by the records on disk: at the start, and when another process changed one."""
        environment = self.memory.environment
        found = await self.store.read(lambda connection: track_records.listed(connection, environment))
        self.memory.earned.clear()
        self.memory.autonomy.clear()
        self.memory.trials.clear()
        for each in found:
            track_records.put(self.memory, each)

    def follow(self, transaction: Transaction, was: Action | None, now: Action) -> None:
        """Note what a move of an action says about its trial, in its commit."""
        finding, bundle = finding_of(was, now), self.memory.bundle
        if finding is None or bundle is None:
            return
        if now.workflow not in bundle.workflows or now.tool not in bundle.tools:
            return
        match finding:
            case Finding.HELD:
                self._held(transaction, bundle, now)
            case Finding.FAILED:
                self._failed(transaction, bundle, now)
            case Finding.SEVERE:
                reason = f"the undo of {now.id} failed"
                tiers.severe(transaction, self.memory, now.workflow, now.tool, reason=reason)

    def mature(self, transaction: Transaction, ref: str) -> None:
        """Count the trials of a workflow with a tool whose time is over: what its timer does."""
        workflow, _, tool = ref.partition(" ")
        record = track_records.hold(transaction, self.memory, workflow, tool)
        if record is None:
            return
        before = record
        environment = self.memory.environment
        for trial, stands in trials.due(transaction.connection, environment, workflow, tool, transaction.now):
            record = self._count(transaction, record, trial, stands)
        if record != before:
            track_records.write(transaction, self.memory, record)
            tiers.propose(transaction, self.memory, record)
        following = trials.next_due(transaction.connection, environment, workflow, tool)
        if following is not None:
            timers.put(transaction, self.matures, ref, max(following, transaction.now + MINUTE))

    def _held(self, transaction: Transaction, bundle: Bundle, action: Action) -> None:
        if action.approval and _was_revised(transaction.connection, action.approval):
            return  # it was a person who wrote these arguments
        declared = bundle.workflows[action.workflow].document
        look = _look(action, declared.autonomy.audit)
        until = transaction.now + declared.autonomy.window * SECOND
        own = action.tier is bundle.tools[action.tool].tier
        trial = self._trial(bundle, action, look, TrialState.OPEN, own=own)
        trial = trial if look.listed else replace(trial, matures_at=until)
        if not trials.note(transaction, trial):
            return
        if look.listed:
            due = digests.next_for(bundle, trial.owner, transaction.now)
            timers.ensure(transaction, digests.kind(self.memory.environment), trial.owner, due)
        else:
            timers.ensure(transaction, self.matures, f"{action.workflow} {action.tool}", until)

    def _failed(self, transaction: Transaction, bundle: Bundle, action: Action) -> None:
        """Count a failure; a trial that was held before keeps who looked at it."""
        failed = self._trial(bundle, action, Look.NONE, TrialState.FAILED)
        held = trials.find(transaction.connection, action.id)
        known = held or failed
        tiers.fail(
            transaction,
            self.memory,
            Failure(
                action=action.id,
                run=action.run,
                workflow=action.workflow,
                tool=action.tool,
                basis=failed.basis,
                created_at=action.created_at,
                audited=known.look is Look.AUDIT,
            ),
        )
        if held is None:
            trials.note(transaction, failed)
        else:
            trials.settle(transaction, action.id, TrialState.FAILED)

    def _count(
        self, transaction: Transaction, record: TrackRecord, trial: Trial, stands: ActionState
    ) -> TrackRecord:
        """Count one trial that is mature, once for its run, and write how it ended."""
        if stands is ActionState.PENDING_SETTLEMENT:
            trials.postpone(transaction, trial.action, transaction.now + 60 * MINUTE)
            return record
        if stands not in _WELL or trial.basis != record.basis or trial.created_at < record.began_at:
            trials.settle(transaction, trial.action, TrialState.DROPPED)
            return record
        seen = _was_seen(transaction.connection, trial)
        counts = _COUNTED if seen else _COUNTED | {TrialState.UNSEEN}
        others = trials.of_run(transaction.connection, trial.run, trial.tool)
        if any(each.state in counts and each.created_at >= record.began_at for each in others):
            trials.settle(transaction, trial.action, TrialState.MERGED)
            return record
        trials.settle(transaction, trial.action, TrialState.CLEAN if seen else TrialState.UNSEEN)
        return counted(record, failed=False, seen=seen, audited=trial.look is Look.AUDIT)

    def _trial(
        self, bundle: Bundle, action: Action, look: Look, state: TrialState, *, own: bool = True
    ) -> Trial:
        """Return an action as a trial.

        A call of a smaller tier than the tool's own proves nothing about the tool, and what was decided under
        another policy than the present one nothing about this version.
        """
        return Trial(
            action=action.id,
            environment=self.memory.environment,
            workflow=action.workflow,
            tool=action.tool,
            run=action.run,
            owner=bundle.workflows[action.workflow].document.owner,
            basis=self._basis(bundle, action) if own and action.bundle == bundle.digest else "",
            look=look,
            state=state,
            created_at=action.created_at,
            matures_at=NEVER,
        )

    def _basis(self, bundle: Bundle, action: Action) -> str:
        key = (bundle.digest, action.workflow, action.tool, action.pin)
        found = self._bases.get(key)
        if found is None:
            if len(self._bases) >= _KNOWN:
                self._bases.clear()
            found = self._bases[key] = basis_of(bundle, action.workflow, action.tool, action.pin)
        return found

    def _derive(self) -> None:
        track_records.derive(self.memory)


def _look(action: Action, share: int) -> Look:
    if action.approval:
        return Look.PERSON
    if action.verdict is Verdict.ALLOW_WITH_REVIEW:
        return Look.REVIEW
    return Look.AUDIT if audited(chance_of(action.id), share) else Look.NONE


def _was_revised(connection: sa.Connection, approval: str) -> bool:
    query = sa.select(approvals.c.revision_of).where(approvals.c.id == approval)
    return bool(connection.execute(query).scalar_one_or_none())


def _was_seen(connection: sa.Connection, trial: Trial) -> bool:
    """Whether somebody could have objected: a person let it pass, or it was in a digest that reached one."""
    if trial.look is Look.PERSON or trial.mark is Mark.FINE:
        return True
    return trial.digest is not None and digests.reached(connection, trial.digest)
