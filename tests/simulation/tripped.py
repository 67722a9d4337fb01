"""What must hold of breakers: only undos begin under an open one, and only a signature lets it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from tests.simulation.shop import STARTER
from tests.support import replayed

from interlock.store.schema import actions, audit, breaker_sign_offs, breakers

if TYPE_CHECKING:
    from tests.simulation.story import Story

_KINDS = ("breaker.opened", "breaker.signed_off", "action.executing")


def everything(story: Story) -> None:
    """What must hold at any moment; memory is compared where there is a process."""
    rows = story.look(sa.select(breakers))
    stands = _replayed(story)
    for row in rows:
        said = stands.get(f"{row.kind}:{row.name}", "closed")
        if row.state != said:
            story.wrong(f"the breaker {row.kind}:{row.name} is {row.state}; on record it is {said}")
    _signed(story, rows)
    _remembered(story, rows)


def _replayed(story: Story) -> dict[str, str]:
    """Follow the record: what begins, begins under no open breaker. Return how each stands at last."""
    stands: dict[str, str] = {}
    undos = {row.id for row in story.look(sa.select(actions.c.id).where(actions.c.comp_of.is_not(None)))}
    begun: set[str] = set()
    through_a_run: set[str] = set()
    query = sa.select(audit).where(audit.c.kind.in_(_KINDS)).order_by(audit.c.at, audit.c.seq)
    for row in story.look(query):
        if row.kind == "action.executing":
            begun.add(row.action)
            if row.action not in undos:
                _begun(story, row, stands)
            continue
        body = replayed.log_body(row.body)
        label, was = body["breaker"], stands.get(body["breaker"], "closed")
        if body["from"] != was:
            story.wrong(f"{label} went on from {body['from']}; it was {was}")
        if row.kind == "breaker.signed_off" and was == "closed":
            story.wrong(f"{label} was signed off and was not open")
        if row.kind == "breaker.signed_off" and row.person == STARTER.name and label in through_a_run:
            story.wrong(f"{row.person} signed off {label}, which a run of theirs opened")
        if row.kind == "breaker.opened":
            (through_a_run.add if row.run else through_a_run.discard)(label)
        stands[label] = "open" if row.kind == "breaker.opened" else body["to"]
    for name in {each.action for each in story.outside.sent} - begun:
        story.wrong(f"{name} was sent and is not on record as begun")
    return stands


def _begun(story: Story, row: Any, stands: dict[str, str]) -> None:
    for label in (f"tool:{row.tool}", f"workflow:{row.workflow}", f"agent:{row.agent}"):
        if stands.get(label) == "open":
            story.wrong(f"{row.action} ({row.tool}) began while {label} was open")


def _signed(story: Story, rows: list[Any]) -> None:
    """Each state but open has a person's signature for that very opening."""
    signatures = story.look(sa.select(breaker_sign_offs))
    known = {(each.kind, each.name, each.opening, each.to_state) for each in signatures}
    for row in rows:
        if row.opening and row.state != "open" and (row.kind, row.name, row.opening, row.state) not in known:
            story.wrong(f"the breaker {row.kind}:{row.name} is {row.state} without a signature")


def _remembered(story: Story, rows: list[Any]) -> None:
    """What memory decides by is what the disk says."""
    if story.process is None:
        return
    stands = {(row.kind, row.name): row.state for row in rows if row.state != "closed"}
    known = {subject: state.value for subject, state in story.process.memory.breakers.items()}
    if known != stands:
        story.wrong(f"memory decides by the breakers {known}; they are {stands}")
    failing = {row.name for row in rows if row.kind == "tool" and row.failures}
    if failing - story.process.breakers._failing.keys():  # a success of these would not be counted
        story.wrong(f"memory knows failures of {sorted(story.process.breakers._failing)}, not of {failing}")
