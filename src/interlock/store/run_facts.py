"""What decisions read of runs, as it is on disk: how often each tool was called, and which runs are above."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

import sqlalchemy as sa

from interlock.core.admission import RunFacts
from interlock.store import scores
from interlock.store.run_rows import Run, RunState
from interlock.store.runs import find, open_runs
from interlock.store.schema import run_calls, runs


def facts_of(
    run: Run, calls: dict[str, int], above: tuple[tuple[str, str], ...] = (), score: int | None = None
) -> RunFacts:
    """Return what a decision reads of a run; `above` are those that it was started from, nearest first."""
    return RunFacts(
        run=run.id,
        workflow=run.workflow,
        version=run.workflow_version,
        open=run.state is RunState.OPEN,
        calls=calls,
        labels=frozenset(run.labels),
        started_at=run.opened_at,
        above=above,
        score=score,
    )


def load_facts(connection: sa.Connection) -> Iterable[RunFacts]:
    """Return what decisions read of every open run, as counted on disk; calls count in the runs above too."""
    counts: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        sa.select(run_calls.c.run, run_calls.c.tool, run_calls.c["count"])
        .join(runs, runs.c.id == run_calls.c.run)
        .where(runs.c.state == RunState.OPEN.value)
    ):
        counts.setdefault(row[0], {})[row[1]] = row[2]
    found, sums = open_runs(connection), dict[str, Counter[str]]()
    lines = {run.id: _line(connection, run) for run in found}
    for run in found:
        for above, _ in lines[run.id]:
            sums.setdefault(above, Counter()).update(counts.get(run.id, {}))
    return [
        facts_of(
            run,
            dict(Counter(counts.get(run.id, {})) + sums.get(run.id, Counter())),
            lines[run.id],
            scores.lowest(connection, run.id),
        )
        for run in found
    ]


def look(connection: sa.Connection, names: Collection[str], environment: str) -> list[RunFacts]:
    """Return what decisions read of these runs of an environment, open or not, each as counted by itself."""
    found = (find(connection, name) for name in names)
    return [
        facts_of(run, calls_of(connection, run.id), _line(connection, run), scores.lowest(connection, run.id))
        for run in found
        if run is not None and run.environment == environment
    ]


def _line(connection: sa.Connection, run: Run) -> tuple[tuple[str, str], ...]:
    """Return the runs above, nearest first."""
    line: list[tuple[str, str]] = []
    while run.parent is not None and (above := find(connection, run.parent)) is not None:
        line.append((above.id, above.workflow))
        run = above
    return tuple(line)


def calls_of(connection: sa.Connection, run: str) -> dict[str, int]:
    """Return how often each tool was called in a run."""
    rows = connection.execute(
        sa.select(run_calls.c.tool, run_calls.c["count"])
        .where(run_calls.c.run == run)
        .order_by(run_calls.c.tool)
    )
    return {row[0]: row[1] for row in rows}
