"""Track records: how each workflow stands with each tool, and every tier it had (F3). Never commits.

A record is held before its trials are touched. A change of the tier is written with its cause, told to other
processes, and decided by here once it is committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from interlock.core.autonomy import default
from interlock.core.model import AutonomyTier
from interlock.core.track_record import Cause, TrackRecord, after_change, basis_of, known_trials, moved
from interlock.errors import NotFound, StateConflict
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.schema import tier_changes, track_records
from interlock.store.transaction import Transaction

Key = tuple[str, str]
_NEW = sa.text(
    "INSERT INTO track_records (environment, workflow, tool, tier, basis, began_at)"
    " VALUES (:environment, :workflow, :tool, :tier, :basis, 0) ON CONFLICT DO NOTHING"
)
_COUNTS = ("clean", "failed", "alarm", "audit_alarm", "proposed_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class TierChange:
    """One move of a tier: why, by whom (a person, or ""), and the trials it was moved on."""

    id: str
    workflow: str
    tool: str
    from_tier: AutonomyTier
    to_tier: AutonomyTier
    cause: Cause
    person: str
    reason: str
    clean: int
    failed: int
    at: int


def now_basis(memory: Memory, workflow: str, tool: str) -> str:
    """Return the version that a workflow and a tool stand in.

    "" where either is not declared, or the tool not registered as far as this process knows.
    """
    bundle, pin = memory.bundle, memory.pins.get(tool)
    if bundle is None or pin is None or workflow not in bundle.workflows or tool not in bundle.tools:
        return ""
    return basis_of(bundle, workflow, tool, pin.digest)


def find(connection: sa.Connection, memory: Memory, workflow: str, tool: str) -> TrackRecord | None:
    """Return a record as it stands on disk, whatever version it is about."""
    row = connection.execute(_one(memory.environment, workflow, tool)).mappings().one_or_none()
    return None if row is None else _record(row)


def hold(transaction: Transaction, memory: Memory, workflow: str, tool: str) -> TrackRecord | None:
    """Return a record that nobody else changes before this commit; None where there can be none yet.

    One that is about an earlier version begins anew here.
    """
    basis = now_basis(memory, workflow, tool)
    if not basis or memory.bundle is None:
        return None
    lowest = default(memory.bundle.tools[tool].tier)
    query = _one(memory.environment, workflow, tool).with_for_update()
    row = transaction.execute(query).mappings().one_or_none()
    if row is None:
        names = {"environment": memory.environment, "workflow": workflow, "tool": tool}
        transaction.execute(_NEW, {**names, "tier": lowest.value, "basis": basis})
        row = transaction.execute(query).mappings().one()
        new = _record(row)
        transaction.on_commit(lambda: put(memory, new))
    record = _record(row)
    if record.basis == basis:
        return record
    return _begin_anew(transaction, memory, record, basis, after_change(record.tier, lowest))


def held(transaction: Transaction, memory: Memory, workflow: str, tool: str) -> TrackRecord:
    """Return a record that nobody else changes before this commit.

    Raises `NotFound` where either is not declared, `StateConflict` where the tool was never offered.
    """
    record, bundle = hold(transaction, memory, workflow, tool), memory.bundle
    if record is not None:
        return record
    if bundle is None or workflow not in bundle.workflows or tool not in bundle.tools:
        raise NotFound(
            f"There is no workflow {workflow[:60]!r} with a tool {tool[:60]!r} here.",
            hint="interlock autonomy show",
        )
    raise StateConflict(f"Nothing is known of {tool} yet: its server never offered it.")


def write(transaction: Transaction, memory: Memory, record: TrackRecord) -> None:
    """Write the counts of a record that is held; who asks for clean trials decides by them on commit."""
    _update(transaction, memory, record, {name: getattr(record, name) for name in _COUNTS})
    if _asked(memory, record.workflow):
        transaction.on_commit(lambda: put(memory, record))
        _tell(transaction, memory, record)


def change(
    transaction: Transaction, memory: Memory, record: TrackRecord, to: AutonomyTier, *, cause: Cause,
    person: str = "", reason: str = "",
) -> TrackRecord:  # fmt: skip
    """Move a record that is held to another tier: on commit this process decides by it."""
    now = moved(record, to, now=transaction.now)
    _log(transaction, memory, record, to, cause=cause, person=person, reason=reason)
    freer = to.rank < record.tier.rank
    body = {
        "from": record.tier.value,
        "to": to.value,
        "cause": cause.value,
        "clean": record.clean,
        "failed": record.failed,
        "reason": reason,
    }
    transaction.audit(
        "autonomy.promoted" if freer else "autonomy.demoted", workflow=record.workflow, tool=record.tool,
        person=person, body=body,
    )  # fmt: skip
    _replace(transaction, memory, now)
    return now


def stands(memory: Memory, workflow: str, tool: str, tier: str) -> bool:
    """Whether the tier on disk, "" for none, is the one that is decided by here."""
    if not tier:
        return True
    known = memory.earned.get((workflow, tool))
    if known is not None:
        return known.tier.value == tier
    bundle = memory.bundle
    return bundle is not None and tool in bundle.tools and default(bundle.tools[tool].tier).value == tier


def listed(connection: sa.Connection, environment: str) -> list[TrackRecord]:
    """Return every record."""
    query = sa.select(track_records).where(track_records.c.environment == environment)
    rows = connection.execute(query.order_by(track_records.c.workflow, track_records.c.tool))
    return [_record(row) for row in rows.mappings()]


def changes(
    connection: sa.Connection, environment: str, *, workflow: str = "", tool: str = "", limit: int = 100
) -> list[TierChange]:
    """Return the tiers that there were, the latest change first."""
    query = sa.select(tier_changes).where(tier_changes.c.environment == environment)
    query = query.where(tier_changes.c.workflow == workflow) if workflow else query
    query = query.where(tier_changes.c.tool == tool) if tool else query
    rows = connection.execute(query.order_by(tier_changes.c.at.desc(), tier_changes.c.id.desc()).limit(limit))
    return [_change(row) for row in rows.mappings()]


def put(memory: Memory, record: TrackRecord) -> None:
    """Decide by what a record says."""
    key = (record.workflow, record.tool)
    memory.earned[key] = record
    _derive(memory, key)


def derive(memory: Memory) -> None:
    """Decide anew by what the records say, under the policy and the tools as they are now."""
    for key in memory.earned:
        _derive(memory, key)


def _derive(memory: Memory, key: Key) -> None:
    """A record about an earlier version counts one tier lower; what is not above the usual floor, not."""
    record = memory.earned[key]
    basis = now_basis(memory, *key)
    memory.autonomy.pop(key, None)
    memory.trials.pop(key, None)
    if not basis or memory.bundle is None:
        return
    usual, same = default(memory.bundle.tools[key[1]].tier), record.basis == basis
    tier = record.tier if same else after_change(record.tier, usual)
    if tier is not usual:
        memory.autonomy[key] = tier
    if same and _asked(memory, record.workflow):
        memory.trials[key] = known_trials(record, usual)


def _asked(memory: Memory, workflow: str) -> bool:
    """Whether a workflow asks for clean trials before a write passes without a person (F1)."""
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(workflow)
    return compiled is not None and compiled.document.autonomy.familiar_after is not None


def _begin_anew(
    transaction: Transaction, memory: Memory, record: TrackRecord, basis: str, tier: AutonomyTier
) -> TrackRecord:
    if tier is not record.tier:
        _log(transaction, memory, record, tier, cause=Cause.NEW_VERSION)
    body = {"from": record.tier.value, "to": tier.value, "clean": record.clean, "failed": record.failed}
    transaction.audit("autonomy.restarted", workflow=record.workflow, tool=record.tool, body=body)
    now = moved(record, tier, now=0, basis=basis)
    _replace(transaction, memory, now)
    return now


def _replace(transaction: Transaction, memory: Memory, record: TrackRecord) -> None:
    values: dict[str, Any] = {name: getattr(record, name) for name in (*_COUNTS, "basis", "began_at")}
    _update(transaction, memory, record, {**values, "tier": record.tier.value})
    transaction.on_commit(lambda: put(memory, record))
    _tell(transaction, memory, record)


def _tell(transaction: Transaction, memory: Memory, record: TrackRecord) -> None:
    transaction.tell(Topic.AUTONOMY, f"{record.workflow} {record.tool}", environment=memory.environment)


def _log(
    transaction: Transaction, memory: Memory, record: TrackRecord, to: AutonomyTier, *, cause: Cause,
    person: str = "", reason: str = "",
) -> None:  # fmt: skip
    transaction.execute(
        sa.insert(tier_changes).values(
            id=transaction.ids.new("tch"),
            environment=memory.environment,
            workflow=record.workflow,
            tool=record.tool,
            from_tier=record.tier.value,
            to_tier=to.value,
            cause=cause.value,
            person=person,
            reason=reason,
            clean=record.clean,
            failed=record.failed,
            at=transaction.now,
        )
    )


def _one(environment: str, workflow: str, tool: str) -> sa.Select[Any]:
    return sa.select(track_records).where(
        track_records.c.environment == environment,
        track_records.c.workflow == workflow,
        track_records.c.tool == tool,
    )


def _update(transaction: Transaction, memory: Memory, record: TrackRecord, values: dict[str, Any]) -> None:
    here = sa.and_(
        track_records.c.environment == memory.environment,
        track_records.c.workflow == record.workflow,
        track_records.c.tool == record.tool,
    )
    transaction.execute(sa.update(track_records).where(here).values(values))


def _record(row: sa.RowMapping) -> TrackRecord:
    values: dict[str, Any] = {name: row[name] for name in row if name not in ("environment", "tier")}
    return TrackRecord(**values, tier=AutonomyTier(row["tier"]))


def _change(row: sa.RowMapping) -> TierChange:
    values: dict[str, Any] = {name: row[name] for name in row if name != "environment"}
    values |= {name: AutonomyTier(row[name]) for name in ("from_tier", "to_tier")}
    values["cause"] = Cause(row["cause"])
    return TierChange(**values)
