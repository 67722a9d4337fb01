"""What was stopped, how far, and what that means for one call (B5).

A kill names its subject: `*`, `environment:NAME`, `agent:NAME`, `workflow:NAME`, `run:ID` or `tool:NAME`.
Each level holds what the milder ones hold: `pause` lets no new run start, `freeze` lets no call write
either, `stop` lets nothing pass. Two people take a kill back; no time does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from interlock.core.model import Ranked

EVERYTHING = "*"
_ABOVE = ("run", "workflow")


class KillLevel(Ranked):
    """How far something is stopped, from the mildest to the strictest."""

    PAUSE = "pause"
    FREEZE = "freeze"
    STOP = "stop"


class KillScope(StrEnum):
    """What kind of thing is stopped."""

    RUN = "run"
    WORKFLOW = "workflow"
    AGENT = "agent"
    TOOL = "tool"
    ENVIRONMENT = "environment"
    ALL = "all"


class KillSource(StrEnum):
    """How a kill was pressed: through the API, by the file in the data directory, or by a budget."""

    API = "api"
    FILE = "file"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillOrder:
    """What to stop, how far, who says so and why.

    `at` is microseconds; `workflow` is the one a run is of; `route` names who hears of it beside those who
    answer for it.
    """

    id: str
    subject: str
    level: KillLevel
    reason: str
    by: str
    source: KillSource
    at: int
    workflow: str = ""
    route: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What happened, in a line."""
        what = "everything" if self.subject == EVERYTHING else "the " + self.subject.replace(":", " ", 1)
        if self.source is KillSource.BUDGET:
            return f"A budget halted {what}: {self.reason}"
        return f"{self.by} pressed the kill switch ({self.level.value}) for {what}: {self.reason}"


Kills = Mapping[str, KillLevel]


def subject_of(scope: KillScope, name: str) -> str:
    """Return how a kill names what it stops."""
    return EVERYTHING if scope is KillScope.ALL else f"{scope.value}:{name}"


def scope_of(subject: str) -> tuple[KillScope, str]:
    """Return the kind and the name of what a kill stops. Raises `ValueError` for no subject of a kill."""
    if subject == EVERYTHING:
        return KillScope.ALL, ""
    kind, _, name = subject.partition(":")
    if not name or kind == KillScope.ALL:
        raise ValueError("not the subject of a kill")
    return KillScope(kind), name


def belongs_to(
    *,
    environment: str,
    agent: str,
    workflow: str,
    run: str = "",
    tool: str = "",
    above: Iterable[tuple[str, str]] = (),
) -> tuple[str, ...]:
    """Return every subject whose kill reaches a call, or a run, of these.

    `above` are the runs that this one was started from, each its id and workflow (B9).
    """
    named = (
        ("run", run),
        ("tool", tool),
        *(pair for each in above for pair in zip(_ABOVE, each, strict=True)),
    )
    return (
        EVERYTHING,
        f"environment:{environment}",
        f"agent:{agent}",
        f"workflow:{workflow}",
        *(f"{kind}:{name}" for kind, name in named if name),
    )


def strictest(kills: Iterable[tuple[str, KillLevel]]) -> Kills:
    """Return how far each subject is stopped, where several kills may name the same one."""
    found: dict[str, KillLevel] = {}
    for subject, level in kills:
        if subject not in found or level.rank > found[subject].rank:
            found[subject] = level
    return found


def standing(kills: Kills, subjects: Iterable[str]) -> dict[str, KillLevel]:
    """Return the kills that stand against any of `subjects`, the strictest first."""
    found = [(subject, kills[subject]) for subject in subjects if subject in kills]
    return dict(sorted(found, key=_strictness))


def refuses(level: KillLevel, *, reads: bool) -> bool:
    """Whether a kill of this level refuses a call; `reads` says that the call has no effect."""
    return level is KillLevel.STOP or (level is KillLevel.FREEZE and not reads)


def _strictness(each: tuple[str, KillLevel]) -> int:
    return -each[1].rank
