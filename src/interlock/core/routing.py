"""Whom a request for a decision is put to, in which order, and when the next stage begins (F2).

A route has up to three stages: approvers, fallback, escalation. A stage's people may decide from the moment
it begins, and those of earlier stages still may; nobody may before their stage has begun. A team or a rota
counts with all its members, and the one who is on duty is told. Where too few of a stage's people may decide
(they asked for the call themselves, or it takes two), the next one begins at once. No stage ever approves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from interlock.core.document.identity import Team
from interlock.core.document.workflow import Approvals
from interlock.core.duty import Rota, on_duty
from interlock.core.model import SECOND

STAGES = ("approvers", "fallback", "escalation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a route: its `name`, the `names` as declared, and the `people` who may decide in it."""

    name: str
    names: tuple[str, ...]
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who there is: people, teams by name, rotas by name. Who is not among `people` counts as away."""

    people: Collection[str]
    teams: Mapping[str, Team]
    rotas: Mapping[str, Rota]

    def members(self, name: str) -> tuple[str, ...]:
        """Return everybody whom a name stands for: a person, a team with its rota, or a rota."""
        if name in self.rotas:
            found: tuple[str, ...] = self.rotas[name].rotation.members
        elif name in self.teams:
            team = self.teams[name]
            rota = self.rotas.get(team.rota or "")
            found = (*team.members, *(rota.rotation.members if rota is not None else ()))
        else:
            found = (name,)
        return tuple(each for each in dict.fromkeys(found) if each in self.people)

    def asked(self, name: str, at: int, absent: Collection[str]) -> tuple[str, ...]:
        """Return whom a name asks at `at`: the one on duty where there is a rota, else all it stands for."""
        team = self.teams.get(name)
        rota = self.rotas.get(name if team is None else team.rota or "")
        if rota is None:
            return tuple(each for each in self.members(name) if each not in absent)
        away = {each for each in rota.rotation.members if each not in self.people or each in absent}
        found = on_duty(rota, at, away)
        return (found,) if found else ()


def stages(declared: Approvals, roster: Roster) -> tuple[Stage, ...]:
    """Return the stages that name anybody, in their order. None: whoever holds the role may decide."""
    named = ((name, getattr(declared, name)) for name in STAGES)
    return tuple(
        Stage(name=name, names=names, people=_people(names, roster)) for name, names in named if names
    )


def deciders(route: Sequence[Stage], level: int) -> tuple[str, ...]:
    """Return who may decide once the stage `level` has begun, in the order in which they were asked."""
    return tuple(dict.fromkeys(each for stage in route[: level + 1] for each in stage.people))


def opening(route: Sequence[Stage], *, needs: int, excluded: Collection[str]) -> int:
    """Return the stage a request begins in: the first by which `needs` people may decide.

    Whoever is `excluded` does not count. Where there are never enough it is the last one.
    """
    for level in range(len(route)):
        if len(set(deciders(route, level)).difference(excluded)) >= needs:
            return level
    return max(0, len(route) - 1)


def answerable(route: Sequence[Stage], *, needs: int, excluded: Collection[str]) -> bool:
    """Return whether enough people could ever decide. Without stages a role decides, and nobody can tell."""
    if not route:
        return True
    return len(set(deciders(route, len(route) - 1)).difference(excluded)) >= needs


def told(
    route: Sequence[Stage], began: Iterable[int], roster: Roster, *, at: int, absent: Collection[str]
) -> tuple[str, ...]:
    """Return whom to tell that the stages numbered `began` have begun at `at`: those on duty, each once."""
    names = (name for level in began for name in route[level].names)
    return tuple(dict.fromkeys(each for name in names for each in roster.asked(name, at, absent)))


def reminder_at(began_at: int, sla: int, share: int) -> int:
    """Return when a stage is reminded: after `share` (basis points) of its `sla` (microseconds)."""
    return began_at + sla * share // 10_000


def climbed(route: Sequence[Stage], level: int, *, began_at: int, sla: int, now: int) -> int:
    """Return the stage that the clock has come to, whose predecessors each missed their `sla`.

    Equal to `level` where nothing was missed. After a long outage stages are passed over: what was missed
    while nobody could be told is told once, to the stage of now. One more than the last stage says that the
    last one missed its own; it is only reached from there.
    """
    last = max(0, len(route) - 1)
    missed = max(0, (now - began_at) // max(1, sla))
    if level >= last:
        return last + min(1, missed)
    return min(last, level + missed)


def seconds(value: int) -> int:
    """Return a declared duration in microseconds."""
    return value * SECOND


def _people(names: Iterable[str], roster: Roster) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for name in names for each in roster.members(name)))
