"""The rows of runs: a run as its table keeps it, and back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa


class RunState(StrEnum):
    """Where a run stands: `closed` ended by its own launcher, `ended` by somebody or something else."""

    OPEN = "open"
    CLOSED = "closed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as the store knows it. `aborting` names the run with which it is undone, "" where none is."""

    id: str
    workflow: str
    workflow_version: int
    agent: str
    environment: str
    state: RunState
    started_by: str
    opened_at: int
    closed_at: int | None
    reason: str
    parent: str | None
    labels: tuple[str, ...]
    lease_until: int
    deadline_at: int | None
    attended: bool
    direct_models: bool
    ungoverned: bool = False
    aborting: str = ""


def run_of(row: sa.RowMapping) -> Run:
    """Return the run of a row."""
    return Run(
        id=row["id"],
        workflow=row["workflow"],
        workflow_version=row["workflow_version"],
        agent=row["agent"],
        environment=row["environment"],
        state=RunState(row["state"]),
        started_by=row["started_by"] or "",
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        reason=row["reason"] or "",
        parent=row["parent"],
        labels=tuple(msgspec.json.decode(row["labels"] or "[]", type=list[str])),
        lease_until=row["lease_until"] or 0,
        deadline_at=row["deadline_at"],
        attended=bool(row["attended"]),
        direct_models=bool(row["direct_models"]),
        ungoverned=bool(row["ungoverned"]),
        aborting=row["aborting"],
    )


def row_of(run: Run) -> dict[str, Any]:
    """Return the row of a run that opens."""
    return {
        "id": run.id,
        "workflow": run.workflow,
        "workflow_version": run.workflow_version,
        "agent": run.agent,
        "environment": run.environment,
        "state": run.state.value,
        "started_by": run.started_by,
        "opened_at": run.opened_at,
        "reason": run.reason,
        "parent": run.parent,
        "labels": msgspec.json.encode(run.labels).decode(),
        "lease_until": run.lease_until,
        "deadline_at": run.deadline_at,
        "attended": int(run.attended),
        "direct_models": int(run.direct_models),
    }
