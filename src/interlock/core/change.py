"""A declared change on its way into force: what may act at once, what waits, and who may decide (A3).

A narrowing acts at once; a widening waits for a person other than its author, judged by the roles and
owners that are in force now, never by those the change itself declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from interlock.core.authority import Comparison, Difference, Direction, compare
from interlock.core.bundle import Bundle, BundleInvalid, compile_bundle
from interlock.core.document.identity import Person
from interlock.core.document.kind import AnyDocument, key
from interlock.core.document.provider import Provider
from interlock.core.document.workflow import Workflow
from interlock.core.merge import equal
from interlock.core.model_route import Route, permits
from interlock.core.version import parts

DECIDERS = frozenset({"policy_author", "agent_owner", "admin"})
PROPOSERS = frozenset({"policy_author", "agent_owner", "admin", "developer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What applying a set of documents means now.

    `acts` are the documents to put in force at once (None: nothing acts). `waiting` is what differs from
    then on until somebody agrees; `together` says that it holds a narrowing which cannot be taken out of
    the whole.
    """

    differences: tuple[Difference, ...]
    acts: tuple[AnyDocument, ...] | None
    waiting: tuple[Difference, ...] = ()
    together: bool = False

    @property
    def waits(self) -> bool:
        """Whether the whole of the new documents needs a decision."""
        return bool(self.waiting)


def effective(documents: Iterable[AnyDocument], environment: str) -> tuple[AnyDocument, ...]:
    """Return the documents that apply to `environment`, in a stable order."""
    return tuple(sorted((d for d in documents if d.environment in (None, environment)), key=key))


def compiled(documents: Iterable[AnyDocument], environment: str) -> Bundle:
    """Return the bundle of the documents that apply to `environment`. Raises `BundleInvalid`."""
    return compile_bundle(effective(documents, environment), environment=environment)


def stage(
    old: Iterable[AnyDocument], new: Iterable[AnyDocument], *, environment: str, agreed: bool = False
) -> Staged:
    """Say what may act at once. `agreed`: nobody else has to agree (first apply, self-approval in dev).

    Raises `BundleInvalid` when the new documents do not make a bundle.
    """
    before, after = tuple(old), effective(new, environment)
    compile_bundle(after, environment=environment)
    comparison = compare(before, after)
    if not comparison.differences:
        return Staged(differences=(), acts=None)
    if agreed or not comparison.widens:
        return Staged(differences=comparison.differences, acts=after)
    acts = _narrowed(before, after, environment) if comparison.narrows else None
    return Staged(
        differences=comparison.differences,
        acts=acts,
        waiting=comparison.differences if acts is None else compare(acts, after).differences,
        together=comparison.narrows and acts is None,
    )


def _narrowed(
    old: tuple[AnyDocument, ...], new: tuple[AnyDocument, ...], environment: str
) -> tuple[AnyDocument, ...] | None:
    """Return the largest part of the change that only narrows and still makes a bundle, if there is one."""
    for comparison in _candidates(old, new):
        try:
            compile_bundle(comparison.meet, environment=environment)
        except BundleInvalid:
            continue
        return None if equal(comparison.meet, old) else comparison.meet
    return None


def _candidates(old: tuple[AnyDocument, ...], new: tuple[AnyDocument, ...]) -> Iterator[Comparison]:
    yield compare(old, new)
    yield compare(old, new, additions=False)
    yield compare(old, new, additions=False, removals=False)


def affected(differences: Iterable[Difference], documents: Iterable[AnyDocument]) -> frozenset[str]:
    """Return the workflows of `documents` that a widening touches: their own, or through what they use."""
    touched = {each.document for each in differences if each.direction is Direction.WIDENS}
    known = tuple(documents)
    return frozenset(
        each.name
        for each in known
        if isinstance(each, Workflow) and not touched.isdisjoint(parts(each) | _providers(each, known))
    )


def _providers(workflow: Workflow, documents: Iterable[AnyDocument]) -> set[tuple[str, str]]:
    """Return the providers that serve a model in the workflow's scope."""
    return {
        ("Provider", each.name)
        for each in documents
        if isinstance(each, Provider)
        and any(permits(workflow.models, Route(provider=each, model=model)) for model in each.models)
    }


def may_decide(
    author: str, differences: Iterable[Difference], documents: Iterable[AnyDocument]
) -> tuple[str, ...]:
    """Return who may agree to a widening by `author`, by name, judged by the `documents` in force."""
    in_force = tuple(documents)
    workflows = affected(differences, in_force)
    owners = {each.owner for each in in_force if isinstance(each, Workflow) and each.name in workflows}
    people = {
        each.name
        for each in in_force
        if isinstance(each, Person) and (each.name in owners or not DECIDERS.isdisjoint(each.roles))
    }
    return tuple(sorted(people - {author}))
