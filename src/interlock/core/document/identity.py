"""Who there is: people, their teams, the agents they answer for, and the whole they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.core.document.named import Document
from interlock.core.document.spending import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestTime:
    """When a person gets their daily digest: at `hour` of the local day of a time zone (F1)."""

    hour: int = 8
    tz: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Document):
    """A human. Roles: viewer, auditor, developer, agent_owner, approver, policy_author, operator, admin."""

    email: str
    roles: tuple[str, ...] = ()
    channels: Mapping[str, str] = field(default_factory=dict[str, str])
    digest: DigestTime = field(default_factory=DigestTime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Team(Document):
    """People who answer together; `rota` says who of them is asked at a time."""

    members: tuple[str, ...] = ()
    rota: str | None = None
    budget: Budget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation(Document):
    """A rota: members in turn, handed over at `hour` of the local day, every so many seconds (whole days).

    `first` is the day the first member's first shift begins, as microseconds of its midnight in UTC (F2).
    """

    members: tuple[str, ...]
    tz: str
    first: int
    hour: int = 9
    every: int = 7 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(Document):
    """A non-human identity with one accountable owner and a backup (H1, H3)."""

    owner: str
    backup: str | None = None
    purpose: str = ""
    review_every: int = 90 * 86_400
    budget: Budget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation(Document):
    """The whole: its budget, and how long the originals of shortened tool results are kept (B2, B7)."""

    budget: Budget | None = None
    keep_originals: int = 7 * 86_400
