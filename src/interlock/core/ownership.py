"""Which person may do what with an agent (H3, G7): its owner and backup, and the roles that stand above.

Separation of duties: who runs the platform may stop any agent but enrols none but their own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Who answers for an agent."""

    owner: str
    backup: str | None = None


def may_enrol(person: str, roles: Collection[str], owners: Owners) -> bool:
    """Whether the person may give the agent a way in: an admin, or an agent owner for their own."""
    return "admin" in roles or ("agent_owner" in roles and _answers(person, owners))


def may_stop(person: str, roles: Collection[str], owners: Owners) -> bool:
    """Whether the person may suspend, resume or retire the agent and end its runs."""
    return "operator" in roles or may_enrol(person, roles, owners)


def may_start(person: str, roles: Collection[str], owners: Owners) -> bool:
    """Whether the person may start a run of one of the agent's workflows."""
    return "developer" in roles or "operator" in roles or may_enrol(person, roles, owners)


def _answers(person: str, owners: Owners) -> bool:
    return person in (owners.owner, owners.backup)
