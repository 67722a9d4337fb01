"""What a torture has left behind, counted: the table of states, and everything that must be zero."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from tests.torture import evidence, undone
from tests.torture.engine import Life
from tests.torture.shop import ASKED_FOR

from interlock.core.action import OPEN
from interlock.store.schema import action_moves, actions, approvals, audit, runs
from support import replayed


@dataclass(kw_only=True)
class Found:
    """The counts. `wrong` is empty when everything held."""

    states: Counter[str]
    effects: int
    known: int
    doubts: int
    doubts_happened: int
    decided: int
    journaled: int
    lost: int
    twice: int
    unasked: int
    unwritten: int
    runs: int
    run_undone: int
    undos: Counter[str]
    breakers: tuple[int, int]
    wrong: list[str] = field(default_factory=list[str])

    def table(self, database: str, *, kills: int, stops: int) -> str:
        """Return it as text."""
        states = ", ".join(f"{state} {times}" for state, times in sorted(self.states.items()))
        rows = [
            ("kill -9", kills),
            ("stopped for longer than a lease", stops),
            ("actions", f"{self.states.total()}: {states}"),
            ("effects outside", self.effects),
            ("calls repeated, known by their key", self.known),
            ("actions lost", self.lost),
            ("effects that happened twice", self.twice),
            ("effects without an approval, or of what was turned down", self.unasked),
            ("success on record without an effect", self.unwritten),
            ("runs, of which were undone", f"{self.runs}, {self.run_undone}"),
            ("undos that happened", self.undos["happened"]),
            *(
                (f"undos {name}", self.undos[name])
                for name in ("missing", "doubled", "out of order", "unasked")
            ),
            ("breakers opened, signed off", "{}, {}".format(*self.breakers)),
            ("calls begun under an open breaker", self.undos["stopped"]),
            ("in doubt, of which really happened", f"{self.doubts}, {self.doubts_happened}"),
            ("approvals decided = decisions on record", f"{self.decided} = {self.journaled}"),
            ("violations", len(self.wrong)),
        ]
        lines = [f"{name:<58} {value}" for name, value in rows]
        return (
            "\n".join([f"torture on {database}", *lines, *(f"  {each}" for each in self.wrong[:20])]) + "\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """When the last of what is open is due (microseconds, 0 for now; None for nothing), and all moves."""

    due: int | None
    moves: int


def standing(lives: Sequence[Life]) -> Standing:
    """Look at what is left to do."""
    with _reading(lives) as connection:
        due = sa.func.max(sa.func.coalesce(actions.c.due_at, 0))
        open_ = sa.select(due).where(actions.c.state.in_([each.value for each in OPEN]))
        moves = sa.select(sa.func.count()).select_from(action_moves)
        return Standing(due=connection.scalar(open_), moves=connection.scalar(moves) or 0)


def count(lives: Sequence[Life]) -> Found:
    """Compare what is on record with what happened outside."""
    calls = _outside(lives[0])
    effects = [(action, at) for action, what, at in calls if what == "effect"]
    happened = [action for action, _ in effects]
    with _reading(lives) as connection:
        rows = {row.id: row for row in connection.execute(sa.select(actions))}
        flaws = list(replayed.effects(connection, happened, twice=(), asked_for=ASKED_FOR))
        undoing = [*undone.flaws(connection, effects), *undone.begun_though_open(connection)]
        wrong = [*replayed.journal(connection), *replayed.decisions(connection), *flaws, *undoing]
        breakers = undone.openings(connection)
        aborted = list(connection.execute(sa.select(runs.c.aborting)).scalars())
        asked = list(connection.execute(sa.select(approvals)))
        said = connection.execute(
            sa.select(sa.func.count()).where(audit.c.kind.in_(replayed.DECIDED.values()))
        ).scalar_one()
    open_ = [row for row in rows.values() if row.state in OPEN]
    doubts = [row for row in rows.values() if row.state == "in_doubt"]
    times = Counter(happened)
    found = Found(
        states=Counter(str(row.state) for row in rows.values()),
        effects=len(happened),
        known=sum(what == "known" for _, what, _ in calls),
        doubts=len(doubts),
        doubts_happened=sum(bool(times[row.id]) for row in doubts),
        decided=_decided(asked),
        journaled=said,
        lost=len(open_),
        twice=sum("happened" in each and "times" in each for each in flaws),
        unasked=sum("without an approval" in each or "happened and is" in each for each in flaws),
        unwritten=sum("never happened" in each for each in flaws),
        runs=len(aborted),
        run_undone=sum(map(bool, aborted)),
        undos=_undos(undoing, rows, times),
        breakers=breakers,
    )
    found.wrong = [
        *wrong,
        *(f"lost: {row.id} is {row.state}" for row in open_),
        *_told(lives, times, asked, {row.id: row.state for row in rows.values()}),
    ]
    return found


def evidence_of(lives: Sequence[Life], wrong: Sequence[str], fates: evidence.Fates) -> str:
    """Return what is on record about what is wrong, as text; empty where nothing is."""
    since = time.time() - time.monotonic()
    calls = [(action, what, since + at) for action, what, at in _outside(lives[0])]
    with _reading(lives) as connection:
        found = evidence.about(connection, wrong, lives=lives, calls=calls, fates=fates)
        return "".join(f"{line}\n" for line in found)


def _undos(undoing: Sequence[str], rows: Mapping[str, Any], times: Counter[str]) -> Counter[str]:
    """Count the undos that happened, and each kind of fault."""
    said = {
        "missing": undone.MISSING, "doubled": undone.DOUBLED, "out of order": undone.ORDER,
        "unasked": undone.UNASKED, "stopped": undone.STOPPED,
    }  # fmt: skip
    counts = Counter({name: sum(words in each for each in undoing) for name, words in said.items()})
    counts["happened"] = sum(bool(times[row.id]) for row in rows.values() if row.comp_of)
    return counts


def _decided(asked: Sequence[object]) -> int:
    """Return how many requests a person has decided; what a change approved is on record with the change."""
    return sum(
        getattr(row, "state", "") in replayed.DECIDED
        and not (getattr(row, "revision_of", None) and getattr(row, "state", "") == "approved")
        for row in asked
    )


_NOT_DONE = frozenset({"Refused-", "TurnedDown-", "Completed-"})


def _told(
    lives: Sequence[Life], times: Counter[str], asked: Sequence[object], states: Mapping[str, str]
) -> list[str]:
    """Compare what agents and people were told with what happened."""
    wrong: list[str] = []
    deciders = {getattr(row, "id", ""): getattr(row, "decided_by", "") for row in asked}
    for life in lives:
        for number, kind, action in life.lines("told"):
            if kind == "Completed" and times[action] != 1:
                wrong.append(f"order {number} was told done; {action} happened {times[action]} times")
            if kind in _NOT_DONE and times[action] and states.get(action) not in replayed.UNDONE:
                wrong.append(f"order {number} was told not done; {action} happened")
        for name, person in life.lines("decided"):
            if deciders.get(name) != person:
                wrong.append(f"{person} was told that {name} is decided; it is {deciders.get(name)}'s")
    return wrong


def _outside(life: Life) -> list[tuple[str, str, float]]:
    record = sqlite3.connect(life.home / "outside.db")
    try:
        return record.execute("SELECT action, what, at FROM calls").fetchall()
    finally:
        record.close()


@contextmanager
def _reading(lives: Sequence[Life]) -> Generator[sa.Connection]:
    life = lives[0]
    url = life.database.replace("postgresql:", "postgresql+psycopg:")
    path = life.home / f"engine.{life.number}" / "data" / "control.db"
    made = sa.create_engine(url or f"sqlite:///{path}", poolclass=sa.NullPool)
    try:
        with made.connect() as connection:
            yield connection
    finally:
        made.dispose()
