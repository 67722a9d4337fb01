"""Take the score that an evaluator gave a run (E2). The same key twice is one score; none is ever changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from interlock.errors import StateConflict, UsageError
from interlock.store import runs, scores
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.run_rows import RunState
from interlock.store.scores import Score

FULL = 10_000
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score as it is kept. `counts` says that the run's end compares it with the floor of its workflow."""

    score: Score
    counts: bool


async def score_run(*, store: Store, memory: Memory, score: Score) -> Scored:
    """Keep `score`, whose `at` is not read; one that comes after its run has ended counts nothing.

    Raises `NotFound` for an unknown run, `StateConflict` for a key that was used for something else,
    `UsageError` for what says too little.
    """
    _check(score)

    def work(transaction: Transaction) -> Scored:
        run = runs.get(transaction.connection, score.run)
        kept, now = (
            scores.find(transaction.connection, score.run, score.key),
            replace(score, at=transaction.now),
        )
        if kept is not None and replace(kept, at=now.at, by=now.by) != now:
            raise StateConflict(
                f"The key {score.key!r} was used for another score of this run.", hint="Use a new key."
            )
        if kept is None:
            scores.insert(transaction, now)
            body = {"key": now.key, "name": now.name, "value": now.value, "source": now.source}
            body |= {"evaluator": now.evaluator, "late": run.state is not RunState.OPEN}
            runs.record(transaction, "run.scored", run, body=body, person=score.by)
            lowest = scores.lowest(transaction.connection, run.id)
            transaction.on_commit(lambda: memory.score_run(run.id, lowest))
            transaction.tell(Topic.RUN, run.id, environment=run.environment)
        stands = kept or now
        before_the_end = run.closed_at is None or stands.at < run.closed_at
        return Scored(score=stands, counts=stands.name in scores.COUNTED and before_the_end)

    return await store.transact(work)


def _check(score: Score) -> None:
    for name in ("key", "name", "source"):
        if not getattr(score, name).strip():
            raise UsageError(f"A score needs its {name}.")
    for name in ("key", "name", "source", "evaluator"):
        if len(getattr(score, name)) > _LONGEST:
            raise UsageError(f"The {name} of a score has at most {_LONGEST} characters.")
    if not 0 <= score.value <= FULL:
        raise UsageError("A score is from 0 to 1, or from 0 to 10000 basis points.")
