"""What moves a tier: a failure counts and may cost one, something severe costs all, evidence proposes (F3).

Everything here happens in the commit of what it is about. Nothing here promotes. Never commits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from interlock.core.alert import AlertKind
from interlock.core.autonomy import higher, lower
from interlock.core.evidence import lower_bound
from interlock.core.model import AutonomyTier
from interlock.core.track_record import Cause, TrackRecord, counted, provable
from interlock.store import alert_events, track_records, trials
from interlock.store.alert_events import Raised
from interlock.store.memory import Memory
from interlock.store.transaction import Transaction
from interlock.store.trials import TrialState

_WORDS = {
    AutonomyTier.AUTONOMOUS: "runs on its own",
    AutonomyTier.ASYNC_REVIEW: "runs first and is reviewed in the daily digest",
    AutonomyTier.SYNC_APPROVAL: "waits for a person",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An action that failed its trial, and the version it is evidence for."""

    action: str
    run: str
    workflow: str
    tool: str
    basis: str
    created_at: int
    audited: bool = False


def fail(transaction: Transaction, memory: Memory, failure: Failure) -> None:
    """Count a failure, once for its run; where the alarm is reached, exactly one tier is lost.

    What began before the present tier, or is about another version, counts no more.
    """
    record = track_records.hold(transaction, memory, failure.workflow, failure.tool)
    if record is None or failure.basis != record.basis or failure.created_at < record.began_at:
        return
    clean = 0
    for each in trials.of_run(transaction.connection, failure.run, failure.tool):
        if each.action == failure.action or each.created_at < record.began_at or each.basis != record.basis:
            continue
        if each.state is TrialState.FAILED:
            return
        if each.state is TrialState.CLEAN:  # its run was counted as clean too early
            clean += 1
            trials.settle(transaction, each.action, TrialState.MERGED)
    record = replace(record, clean=max(0, record.clean - clean))
    after = counted(record, failed=True, seen=True, audited=failure.audited)
    if after.alarmed:
        lose(transaction, memory, after, lower(after.tier), cause=Cause.ALARM)
        return
    if after.proposed_at and not after.proven:
        after = replace(after, proposed_at=0)
        transaction.audit("autonomy.proposal_lapsed", workflow=after.workflow, tool=after.tool, body={})
    track_records.write(transaction, memory, after)


def severe(
    transaction: Transaction, memory: Memory, workflow: str, tool: str, *, person: str = "", reason: str
) -> TrackRecord | None:
    """Let every call wait for a person from now on, whatever was earned; None where it does already."""
    record = track_records.hold(transaction, memory, workflow, tool)
    if record is None or record.tier is AutonomyTier.SYNC_APPROVAL:
        return None
    asked = AutonomyTier.SYNC_APPROVAL
    return lose(transaction, memory, record, asked, cause=Cause.SEVERE, person=person, reason=reason)


def lose(
    transaction: Transaction, memory: Memory, record: TrackRecord, to: AutonomyTier, *, cause: Cause,
    person: str = "", reason: str = "",
) -> TrackRecord:  # fmt: skip
    """Move a record that is held to a stricter tier, and tell who answers for the workflow."""
    now = track_records.change(transaction, memory, record, to, cause=cause, person=person, reason=reason)
    summary = f"{record.workflow} {_WORDS[to]} with {record.tool} from now on: {_BECAUSE[cause]}"
    facts = {"from": record.tier.value, "to": to.value, "clean": record.clean, "failed": record.failed}
    _tell(transaction, memory, AlertKind.AUTONOMY_LOST, record, summary=summary, facts=dict(facts))
    return now


_BECAUSE = {
    Cause.ALARM: "it failed more often than this tier allows",
    Cause.SEVERE: "something severe happened",
    Cause.PERSON: "a person decided so",
}


def propose(transaction: Transaction, memory: Memory, record: TrackRecord) -> TrackRecord:
    """Propose the next tier to the workflow's owner, once, where the evidence suffices."""
    bundle = memory.bundle
    if bundle is None or not record.proven or record.proposed_at:
        return record
    if provable(bundle, record.workflow, record.tool):
        return record
    record = replace(record, proposed_at=transaction.now)
    track_records.write(transaction, memory, record)
    bound = lower_bound(record.clean + record.failed, record.failed)
    to = higher(record.tier)
    body = {"to": to.value, "clean": record.clean, "failed": record.failed, "at_least": f"{bound:.4%}"}
    transaction.audit("autonomy.proposed", workflow=record.workflow, tool=record.tool, body=dict(body))
    summary = (
        f"{record.workflow} has proved itself with {record.tool}: {record.clean} clean trials and "
        f"{record.failed} failed. A person may let it go on so that it {_WORDS[to]}"
    )
    _tell(transaction, memory, AlertKind.AUTONOMY_PROPOSED, record, summary=summary, facts=dict(body))
    return record


def _tell(
    transaction: Transaction, memory: Memory, kind: AlertKind, record: TrackRecord, *, summary: str,
    facts: dict[str, str | int],
) -> None:  # fmt: skip
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(record.workflow)
    raised = Raised(
        kind=kind,
        subject=f"workflow:{record.workflow}",
        period=f"{record.tool} at {transaction.now}",
        summary=summary,
        facts={"tool": record.tool, **facts},
        workflow=record.workflow,
        route=() if compiled is None else (compiled.document.owner,),
    )
    alert_events.raise_alert(transaction, memory, raised)
