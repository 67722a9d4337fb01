"""Exercises of undos: what was tried out, on which definitions of both tools, and how it ended (E5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.schema import exercises
from interlock.store.transaction import Transaction

UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One exercise. `pin` and `undo_pin` are the definitions it was made on; `problem` says what failed."""

    id: str
    environment: str
    tool: str
    pin: str
    undo: str
    undo_pin: str
    server: str
    outcome: str
    problem: str
    by: str
    at: int


def put(transaction: Transaction, memory: Memory, exercise: Exercise) -> None:
    """Write an exercise down; one that went well counts from this commit on, one that did not ends that."""
    transaction.execute(sa.insert(exercises).values(**asdict(exercise)))
    body = {
        "undo": exercise.undo, "server": exercise.server, "outcome": exercise.outcome,
        "problem": exercise.problem, "pin": exercise.pin, "undo_pin": exercise.undo_pin,
    }  # fmt: skip
    transaction.audit("undo.exercised", tool=exercise.tool, person=exercise.by, body=body)
    transaction.tell(Topic.EXERCISE, exercise.tool, environment=exercise.environment)
    transaction.on_commit(lambda: _know(memory, exercise))


def load(connection: sa.Connection, memory: Memory) -> list[Exercise]:
    """Return the last exercise of each tool."""
    query = sa.select(exercises).where(exercises.c.environment == memory.environment)
    rows = connection.execute(query.order_by(exercises.c.at, exercises.c.id)).mappings()
    return list({row["tool"]: Exercise(**row) for row in rows}.values())


def learn(memory: Memory, found: list[Exercise]) -> None:
    """Decide by these exercises."""
    for each in found:
        _know(memory, each)


def _know(memory: Memory, exercise: Exercise) -> None:
    memory.exercises.pop(exercise.tool, None)
    if exercise.outcome == UNDONE:
        memory.exercises[exercise.tool] = (exercise.pin, exercise.undo, exercise.undo_pin)
