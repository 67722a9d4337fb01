"""What must hold in every simulation: at each call that is sent, after each kill, and at the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import sqlalchemy as sa
from tests.simulation import tripped, undone
from tests.simulation.shop import ASKED_FOR, EFFECTS
from tests.simulation.store import KEY
from tests.support import replayed

from interlock.core.answer import Broken, Completed, Refused, TurnedDown
from interlock.store.schema import action_moves, actions, approvals, audit, run_calls
from interlock.upstream.executor import Dispatch

if TYPE_CHECKING:
    from tests.simulation.story import Story

_KNOWN_BY_KEY = frozenset(name for name, effect in EFFECTS.items() if effect == "idempotent")
_UNCOUNTED = frozenset({"denied", "rejected", "expired", "cancelled", "superseded"})


def sent(story: Story, dispatch: Dispatch) -> None:
    """A call leaves only when its intent is on the disk, in force, and permitted where it must be."""
    name = dispatch.action or ""
    found = story.look(
        sa.select(actions, approvals.c.state.label("permit"), approvals.c.digest.label("permitted"))
        .outerjoin(approvals, approvals.c.id == actions.c.approval)
        .where(actions.c.id == name)
    )
    if not found:
        story.wrong(f"{name} was sent without an intent on the disk")
        return
    row = found[0]
    if row.state != "executing":
        story.wrong(f"{name} was sent and is {row.state}")
    if row.tool in ASKED_FOR and (row.permit != "approved" or row.permitted != row.digest):
        story.wrong(f"{name} was sent without an approval of what it does")
    if row.comp_of:
        undone.sent(story, row)
    before = [each for each in story.outside.sent if each.action == name and not each.asked]
    asked = undone.times_begun(story, row) if row.comp_of else 1
    if len(before) >= asked and row.tool not in _KNOWN_BY_KEY:
        story.wrong(f"{name} ({row.tool}) was sent twice")


def disk(story: Story) -> None:
    """What must hold at any moment, a kill included."""
    with story.file.readers.connect() as connection:
        flaws = [
            *replayed.journal(connection),
            *replayed.decisions(connection),
            *replayed.effects(
                connection,
                [each.action for each in story.outside.effects],
                twice=(),
                asked_for=ASKED_FOR,
            ),
        ]
    for flaw in flaws:
        story.wrong(flaw)
    undone.everything(story)
    tripped.everything(story)


def everything(story: Story) -> None:
    """What must hold at the end."""
    disk(story)
    with story.file.readers.connect() as connection:
        for flaw in replayed.chains(connection, KEY):
            story.wrong(flaw)
    _decided(story)
    _heard(story)
    _counted(story)
    _remembered(story)


def _decided(story: Story) -> None:
    """A decision that was confirmed to a person stands."""
    rows = {row.id: row for row in story.look(sa.select(approvals))}
    for name, person in story.decided:
        if rows[name].decided_by != person:
            story.wrong(f"{person} was told that {name} is decided; it is {rows[name].state}")


def _heard(story: Story) -> None:
    """What an agent was told is what happened."""
    happened = Counter(each.action for each in story.outside.effects)
    for tool, answer in story.heard:
        match answer:
            case Completed(action=str(name), payload=payload) if EFFECTS[tool] != "read":
                good = not payload.get("isError")
                if good != bool(happened[name]):
                    story.wrong(f"an agent heard {good} of {name}, which happened {happened[name]} times")
            case TurnedDown(state=state) if state in undone.STATES:
                pass  # it had happened, which is what the agent is told
            case TurnedDown(action=name) | Broken(action=name) | Refused(action=str(name)):
                if name and happened[name] and not answer_left_open(story, name):
                    story.wrong(f"an agent heard that {name} did not happen, and it did")
            case _:
                pass
    for effect in story.outside.effects:
        if effect.order in story.gave_up:
            story.wrong(f"order {effect.order} was said not to be sent, and happened ({effect.action})")


def answer_left_open(story: Story, name: str) -> bool:
    """Whether an agent was told of a doubt, in the words of an answer that broke off."""
    return bool(
        story.look(
            sa.select(action_moves).where(
                action_moves.c.action == name, action_moves.c.to_state == "in_doubt"
            )
        )
    )


def _counted(story: Story) -> None:
    """Calls are counted as often as they may have happened, on the disk and in memory."""
    back: Counter[str] = Counter()
    for row in story.look(
        sa.select(audit.c.action, audit.c.kind, audit.c.body).where(
            audit.c.kind.in_(("action.failed", "action.resolved", "action.probed"))
        )
    ):
        said = replayed.log_body(row.body)
        back[row.action] += said.get("sent") is False or said.get("happened") is False
    counted: Counter[tuple[str, str]] = Counter()
    for row in story.look(sa.select(actions).where(actions.c.comp_of.is_(None))):
        counted[row.run, row.tool] += row.state not in _UNCOUNTED and not back[row.id]
    kept = {(row.run, row.tool): row[2] for row in story.look(sa.select(run_calls))}
    memory = story.process.memory if story.process is not None else None
    for (run, tool), times in counted.items():
        if EFFECTS[tool] == "read":
            continue
        if kept.get((run, tool), 0) != times:
            story.wrong(f"{tool} is counted {kept.get((run, tool), 0)} times in {run}; it was {times}")
        facts = memory.runs.get(run) if memory is not None else None
        if facts is not None and facts.calls.get(tool, 0) != times:
            story.wrong(f"memory counts {tool} {facts.calls.get(tool, 0)} times in {run}; it was {times}")


def _remembered(story: Story) -> None:
    """What memory knows of an action is what the disk says."""
    if story.process is None:
        return
    known = story.process.memory.actions
    for row in story.look(sa.select(actions.c.id, actions.c.state)):
        if row.id in known and known[row.id].state.value != row.state:
            story.wrong(f"memory has {row.id} as {known[row.id].state.value}; it is {row.state}")
