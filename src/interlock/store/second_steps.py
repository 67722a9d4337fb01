"""Second steps: what was registered to make an action final, and the action that was proposed for it.

A step is built when its action succeeds, from the manifest in force then. Proposing it is a compare-and-set
on the step, so there is at most one at a time for each action (invariant 8).
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from interlock.core import second_step
from interlock.core.action import Action
from interlock.core.document.tool import Tool
from interlock.core.model import Json
from interlock.core.second_step import STANDING, SecondStep, StepKind
from interlock.errors import StateConflict
from interlock.store.action_rows import action_of, object_of, text_of
from interlock.store.memory import Memory
from interlock.store.schema import actions as rows
from interlock.store.schema import second_steps
from interlock.store.transaction import Transaction


def declared(memory: Memory, tool: str) -> Tool | None:
    """Return the entry of `tool` in the map in force."""
    compiled = None if memory.bundle is None else memory.bundle.tools.get(tool)
    return None if compiled is None else compiled.document


def register(
    transaction: Transaction, action: Action, tool: Tool, result: Mapping[str, Json] | None
) -> SecondStep | None:
    """Write down what makes an action final that has just succeeded; None where nothing does."""
    step = second_step.build(action, tool, result, now=transaction.now)
    if step is not None:
        values = {
            "action": step.action, "kind": step.kind.value, "tool": step.tool, "digest": step.digest,
            "arguments": None if step.arguments is None else text_of(step.arguments),
            "problem": step.problem, "due_at": step.due_at,
        }  # fmt: skip
        transaction.execute(sa.delete(second_steps).where(second_steps.c.action == step.action))
        transaction.execute(sa.insert(second_steps).values(values))
    return step


def of(connection: sa.Connection, action: str) -> SecondStep | None:
    """Return what makes an action final, or None."""
    row = connection.execute(sa.select(second_steps).where(second_steps.c.action == action)).one_or_none()
    if row is None:
        return None
    return SecondStep(
        action=row.action,
        kind=StepKind(row.kind),
        tool=row.tool,
        due_at=row.due_at,
        arguments=None if row.arguments is None else object_of(row.arguments),
        digest=row.digest,
        problem=row.problem,
        second=row.second,
    )


def proposed(connection: sa.Connection, step: SecondStep | None) -> Action | None:
    """Return the action that was proposed last for a step, or None."""
    if step is None or not step.second:
        return None
    row = connection.execute(sa.select(rows).where(rows.c.id == step.second)).mappings().one_or_none()
    return None if row is None else action_of(row)


def take(transaction: Transaction, step: SecondStep, second: str) -> None:
    """Let `second` be the action of a step. Raises `StateConflict` where another one was proposed first."""
    done = transaction.execute(
        sa.update(second_steps)
        .where(second_steps.c.action == step.action, second_steps.c.second == step.second)
        .values(second=second)
    )
    if done.rowcount != 1:
        raise StateConflict(f"The second step of {step.action} was proposed already.", hint="Look at it.")


def is_settlement(connection: sa.Connection, action: str) -> bool:
    """Whether an action is, or was, provisional until it is settled or voided."""
    query = sa.select(second_steps.c.kind).where(second_steps.c.action == action)
    return connection.execute(query).scalar_one_or_none() == StepKind.CONFIRM.value


def hold(transaction: Transaction, family: list[str]) -> None:
    """Let nothing in these runs become final before this commit: what is taken back is seen as it stands."""
    query = sa.select(rows.c.id).join(second_steps, second_steps.c.action == rows.c.id)
    query = query.where(rows.c.run.in_(family)).order_by(rows.c.id).with_for_update(of=rows)
    transaction.execute(query).all()


def require_standing(transaction: Transaction, second: Action) -> None:
    """Check that what a second step makes final still stands, and keep it so until the commit.

    Raises `StateConflict` where it was taken back: of the two that race for it one waits here for the other.
    """
    query = sa.select(rows.c.state).where(rows.c.id == second.follows).with_for_update()
    state = transaction.execute(query).scalar_one_or_none()
    if state not in {each.value for each in STANDING}:
        raise StateConflict(
            f"{second.follows} is {state}: nothing can make it final.",
            hint=f"interlock actions show {second.follows}",
        )
