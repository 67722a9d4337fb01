"""Whom an alert is told: the people who answer for its subject, by the ways they declared (G3, H3).

A ticket goes to the owner. A page also goes to the backup and to those whom the workflow names for
escalation. Where nobody answers for a subject, whoever operates the platform does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from interlock.core.alert import Severity
from interlock.core.document.identity import Agent, Person, Rotation, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.workflow import Workflow
from interlock.core.kill import KillScope

EMAIL, WEBHOOK, WEBHOOK_KEY = "email", "webhook", "webhook_key"
_OPERATORS = frozenset({"operator", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One way to reach one person. `key` is the reference to what signs a webhook, if declared."""

    name: str
    channel: str
    target: str
    key: str = ""


def addresses(
    subject: str,
    severity: Severity,
    documents: Iterable[AnyDocument],
    *,
    workflow: str = "",
    route: Iterable[str] = (),
) -> tuple[Address, ...]:
    """Return where to tell of an alert about `subject`; `workflow` is the one a run is of.

    `route` names who is to hear of it instead of the owner; a page reaches those who answer as well. Each
    address is there once. Empty where nobody can be reached.
    """
    declared, paged = _Declared(documents), severity is Severity.PAGE
    routed = declared.ways(route)
    found = [*routed, *declared.ways(declared.answering(subject, workflow, paged=paged))]
    found = routed if routed and not paged else found or declared.ways(declared.operators())
    return tuple(dict.fromkeys(found))


class _Declared:
    """The documents by what is looked up in them."""

    def __init__(self, documents: Iterable[AnyDocument]) -> None:
        known = tuple(documents)
        self._people = {each.name: each for each in known if isinstance(each, Person)}
        self._groups = {each.name: each for each in known if isinstance(each, Team | Rotation)}
        self._agents = {each.name: each for each in known if isinstance(each, Agent)}
        self._workflows = {each.name: each for each in known if isinstance(each, Workflow)}

    def answering(self, subject: str, workflow: str, *, paged: bool) -> Iterator[str]:
        """Yield the people and teams who answer for a subject."""
        kind, _, name = subject.partition(":")
        if kind == "team":
            yield name
        if kind == KillScope.AGENT:
            yield from self._owners(self._agents.get(name), paged)
        found = self._workflows.get(name if kind == KillScope.WORKFLOW else workflow)
        if found is not None:
            yield found.owner
            if paged:
                yield from found.approvals.escalation
                yield from self._owners(self._agents.get(found.agent), paged)

    def _owners(self, agent: Agent | None, paged: bool) -> Iterator[str]:
        if agent is not None:
            yield agent.owner
            if paged and agent.backup:
                yield agent.backup

    def operators(self) -> list[str]:
        """Return the people who operate the platform."""
        return [each.name for each in self._people.values() if _OPERATORS.intersection(each.roles)]

    def ways(self, names: Iterable[str]) -> list[Address]:
        """Return the ways to reach people, teams and rotas; the latter are their members."""
        people = (each for name in names for each in self._people_of(name))
        return [way for each in people for way in _ways(each)]

    def _people_of(self, name: str) -> list[Person]:
        group = self._groups.get(name)
        members = (name,) if group is None else group.members
        return [self._people[each] for each in members if each in self._people]


def _ways(person: Person) -> list[Address]:
    found = [Address(name=person.name, channel=EMAIL, target=person.email)] if person.email else []
    if WEBHOOK in person.channels:
        key = person.channels.get(WEBHOOK_KEY, "")
        found.append(Address(name=person.name, channel=WEBHOOK, target=person.channels[WEBHOOK], key=key))
    return found
