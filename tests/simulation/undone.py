"""What must hold of undos: only of what happened, the last first, once for each action, and none missing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from interlock.store.schema import action_moves, actions, audit, runs, undos

if TYPE_CHECKING:
    from tests.simulation.story import Story

STATES = frozenset({"compensating", "compensated", "compensation_failed"})
_OPEN = frozenset({"approved", "executing", "retry"})
_MAY_STAND = frozenset({"succeeded", "pending_settlement"})
_LATEST = 1 << 62


def sent(story: Story, undo: Any) -> None:
    """An undo leaves when its action is being undone, may have happened, and what ended later is undone."""
    undone = story.look(sa.select(actions).where(actions.c.id == undo.comp_of))[0]
    if undone.state != "compensating":
        story.wrong(f"{undo.id} was sent to undo {undone.id}, which is {undone.state}")
    _happened(story, undo)
    began = max(each[1] for each in _noted(story, "action.executing") if each[0] == undo.id)
    asked = dict(_noted(story, "undo.begun"))  # the latest time counts
    others = story.look(
        sa.select(actions).where(
            actions.c.run == undo.run, actions.c.state == "compensating", actions.c.id != undone.id
        )
    )
    undoing = {each.comp_of: each for each in story.look(sa.select(actions).where(actions.c.comp_of != ""))}
    for each in others:
        other = undoing[each.id]
        first = other.state in _OPEN and asked[other.id] < began and _order(each) > _order(undone)
        if first:
            story.wrong(f"{undo.id} undid {undone.id} before {other.id} undid {each.id}, which ended later")


def times_begun(story: Story, undo: Any) -> int:
    """Return how often a person or a run that failed had an undo carried out."""
    return sum(name == undo.id for name, _ in _noted(story, "undo.begun"))


def everything(story: Story) -> None:
    """What must hold at any moment: an undo and what it undoes move in one commit."""
    rows = {row.id: row for row in story.look(sa.select(actions))}
    undoing: dict[str, Any] = {}
    for row in rows.values():
        if row.comp_of:
            if row.comp_of in undoing:
                story.wrong(f"{row.comp_of} has two undos: {row.id} and {undoing[row.comp_of].id}")
            undoing[row.comp_of] = row
    by_hand = {name for name, _ in _noted(story, "undo.by_hand")}
    for name, row in rows.items():
        _ended(story, row, undoing.get(name), by_hand=name in by_hand)
    _none_twice(story, rows)
    _none_missing(story, undoing)


def _happened(story: Story, undo: Any) -> None:
    if any(each.action == undo.comp_of for each in story.outside.effects):
        return
    moves = sa.select(action_moves.c.from_state).where(
        action_moves.c.action == undo.comp_of, action_moves.c.to_state == "compensating"
    )
    if not any(each.from_state == "retry" for each in story.look(moves)):  # that may have happened
        story.wrong(f"{undo.id} undoes {undo.comp_of}, which never happened")


def _order(action: Any) -> tuple[int, int, str]:
    return action.ended_at or _LATEST, action.began_at or 0, action.id


def _noted(story: Story, kind: str) -> list[tuple[str, tuple[int, int]]]:
    """Return the actions of the entries of a kind, each with its place in the record, oldest first."""
    query = sa.select(audit.c.action, audit.c.at, audit.c.seq).where(audit.c.kind == kind)
    return [(row.action, (row.at, row.seq)) for row in story.look(query.order_by(audit.c.at, audit.c.seq))]


def _ended(story: Story, row: Any, undo: Any, *, by_hand: bool) -> None:
    """What is said of an action that was undone is what became of its undo."""
    if row.state == "compensated" and not by_hand and (undo is None or undo.state != "succeeded"):
        story.wrong(f"{row.id} is compensated, and its undo is {undo and undo.state}")
    if row.state == "compensation_failed" and (undo is None or undo.state not in ("failed", "in_doubt")):
        story.wrong(f"{row.id} is compensation_failed, its undo is {undo and undo.state}")
    if undo is not None and undo.state == "succeeded" and row.state != "compensated":
        story.wrong(f"{row.id} is {row.state}, although {undo.id} undid it")


def _none_twice(story: Story, rows: dict[str, Any]) -> None:
    times = Counter(rows[each.action].comp_of for each in story.outside.effects if rows[each.action].comp_of)
    for name, count in times.items():
        if count > 1:
            story.wrong(f"{name} was undone {count} times")


def _none_missing(story: Story, undoing: dict[str, Any]) -> None:
    """In a run that was undone nothing stands but what a person kept and what could not be undone."""
    query = (
        sa.select(actions.c.id, actions.c.state, undos.c.problem)
        .join(runs, runs.c.id == actions.c.run)
        .outerjoin(undos, undos.c.action == actions.c.id)
        .where(runs.c.aborting != "", actions.c.comp_of.is_(None), actions.c.effect != "read")
    )
    for row in story.look(query):
        undo = undoing.get(row.id)
        kept = bool(row.problem) or (undo is not None and undo.state == "cancelled")
        if row.state in _MAY_STAND and not kept:
            story.wrong(f"{row.id} stands as {row.state} in a run that was undone")
