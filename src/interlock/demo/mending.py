"""The third act of the demonstration: a run fails and is taken back, and a breaker waits for a person.

A mail that waits its time is cancelled, notes are undone in reverse when the run fails, and a tool that
failed three times is closed to everybody until somebody signs. What was seen from outside becomes `Mended`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.demo.evidence import Step
from interlock.demo.stage import Stage, events, wait_until

Event = dict[str, Any]
BREAKER = "tool:archive.close_ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What the agent was told by step, how it ended, the archive's own record, and what commands print."""

    said: Mapping[str, Event]
    status: int
    archive: Mapping[str, Any]
    actions: Sequence[Event]
    tripped: Event
    signed: Event

    @property
    def effects(self) -> list[str]:
        """What the archive did, in its order, by its own record."""
        return [each["tool"] for each in self.archive["effects"]]

    @property
    def reversed(self) -> bool:
        """Whether the note that was left last was removed first."""
        removed = [
            each["arguments"]["note"] for each in self.archive["effects"] if "note" in each["arguments"]
        ]
        return removed == sorted(removed, reverse=True)

    @property
    def notes(self) -> int:
        """How many notes the archive holds."""
        return sum(len(each["notes"]) for each in self.archive["tickets"].values())


def play(stage: Stage, reviewer: str, tell: Callable[[str], None]) -> Mended:
    """Perform the act; `reviewer` is deng's token."""
    tell("an agent that goes wrong: interlock run cleanup -- python -m interlock.demo.cleaner")
    agent = stage.run_agent("cleanup", sys.executable, "-m", "interlock.demo.cleaner")
    said: dict[str, Event] = {}
    for event in events(agent):
        said[event["step"]] = event
        if event["step"] == "mail":
            action = str(event["told"]["action"])
            tell(f"maria stops the mail in time: interlock actions cancel {action}")
            stage.command("actions", "cancel", action, "--reason", "The archive is not complete.")
    status = agent.wait()
    tell("the run failed, so what it did is undone, the last first")
    wait_until(lambda: _undone(stage), "the notes to be undone")
    tripped = stage.json("breaker", "show", BREAKER)
    tell(f"deng signs for the breaker: interlock breaker sign-off {BREAKER}")
    for to in ("half-open", "closed"):
        reason = ("--reason", "Looked at it: those tickets were never there.")
        stage.command("breaker", "sign-off", BREAKER, "--to", to, *reason, token=reviewer)
    return Mended(
        said=said,
        status=status,
        archive=stage.archive(),
        actions=_actions(stage),
        tripped=tripped,
        signed=stage.json("breaker", "show", BREAKER),
    )


def _actions(stage: Stage) -> list[Event]:
    return stage.json("actions", "list", "--workflow", "cleanup")["items"]


def _undone(stage: Stage) -> bool:
    return [each["state"] for each in _actions(stage)].count("compensated") == 2


def judge(seen: Mended) -> list[Step]:
    """Return the third act's part of the report."""
    return [_cancelled(seen), _tripped(seen), _undo(seen), _signed(seen)]


def _cancelled(seen: Mended) -> Step:
    mails = len(seen.archive["mails"])
    return Step(
        step="a mail that waits is stopped",
        tried="archive.email_customers",
        verdict=str(seen.said.get("mail cancelled", {}).get("status", "not cancelled")),
        why="it is sent ten minutes later, and can be cancelled until then",
        evidence=f"the archive's file has {mails or 'no'} mails",
        ok="mail cancelled" in seen.said and not mails,
    )


def _tripped(seen: Mended) -> Step:
    last = seen.said.get("close T-1", {})
    return Step(
        step="a breaker opens",
        tried="archive.close_ticket",
        verdict=str(seen.tripped["state"]),
        why=str(seen.tripped["why"]),
        evidence="the fourth call, a right one, was refused, and T-1 is open",
        ok=seen.tripped["state"] == "open"
        and last.get("ok") is False
        and seen.archive["tickets"]["T-1"]["status"] == "open",
    )


def _undo(seen: Mended) -> Step:
    states = [each["state"] for each in seen.actions if each["tool"] == "archive.add_note"]
    return Step(
        step="a failed run is undone",
        tried="archive.add_note, twice",
        verdict=states[0] if states else "nothing",
        why="on_failure: undo; remove_note was reviewed as its undo, and passes the open breaker",
        evidence=f"the archive did {', '.join(seen.effects)}; {seen.notes or 'no'} notes are left",
        ok=seen.status == 1
        and states == ["compensated"] * 2
        and seen.effects == ["add_note", "add_note", "remove_note", "remove_note"]
        and seen.reversed
        and not seen.notes,
    )


def _signed(seen: Mended) -> Step:
    people = [each["person"] for each in seen.signed["sign_offs"]]
    return Step(
        step="only a person closes it",
        tried="interlock breaker sign-off",
        verdict=str(seen.signed["state"]),
        why="no time closes a breaker: deng signed twice, half-open first, each with a reason",
        evidence=f"{len(people)} signatures of {', '.join(sorted(set(people)))} for this opening",
        ok=seen.signed["state"] == "closed" and people == ["deng", "deng"],
    )
