"""Decide a change that widens authority: a named person other than its author agrees or refuses (A3)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from interlock.core import change as rule
from interlock.core import version
from interlock.core.bundle import Bundle, BundleInvalid
from interlock.core.document.kind import AnyDocument
from interlock.core.document.workflow import Workflow
from interlock.core.misfit import Shape
from interlock.core.undo_check import require_undos
from interlock.errors import ManifestError, NotPermitted, SnapshotMoved, StateConflict, UsageError
from interlock.settings import Settings
from interlock.store import bundles, changes, deployments, documents, pins
from interlock.store.changes import Change, ChangeState
from interlock.store.database import Store, Transaction
from interlock.store.documents import InForce, Name
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """How a change ended; `version` and `workflows` are what is in force then."""

    change: str
    state: ChangeState
    version: int
    workflows: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideChange:
    """The use case with its handles."""

    store: Store
    memory: Memory
    settings: Settings

    async def show(self, change: str) -> tuple[Change, tuple[str, ...]]:
        """Return a change and who may decide it, while it waits. Raises `NotFound`."""
        environment = self.settings.environment
        found = await self.store.read(lambda connection: changes.get(connection, change))
        current = await self.store.read(lambda connection: documents.in_force(connection, environment))
        if found.state is not ChangeState.WAITING or current is None:
            return found, ()
        return found, rule.may_decide(found.author, found.differences, current.documents)

    async def approve(self, change: str, *, person: str, roles: Collection[str], reason: str = "") -> Decided:
        """Put a waiting change in force.

        Raises `NotFound`, `NotPermitted` when `person` may not decide it, `StateConflict` when it was
        decided already or something else was applied since.
        """
        found, current = await self._read(change)
        self._may(found, current, person=person, roles=roles)
        if found.base_version != current.version:
            raise _stale(found, current.version)
        declared = await self.store.read(lambda connection: changes.body(connection, change))
        known = await self.store.read(documents.last_versions)
        versions = version.next_versions(known, declared)
        shapes = await self.store.read(pins.shapes)
        bundle = _compiled(declared, versions, self.settings.environment, shapes, bool(found.restores))

        def write(transaction: Transaction) -> Decided:
            changes.decide(transaction, change, ChangeState.APPROVED, by=person, reason=reason)
            return self._enforce(transaction, found, bundle, versions, person=person, reason=reason)

        try:
            return await self.store.transact(write)
        except SnapshotMoved as moved:
            raise _stale(found, None) from moved

    async def reject(self, change: str, *, person: str, roles: Collection[str], reason: str) -> Decided:
        """Turn a waiting change down, with a reason; its author may withdraw it.

        Raises `NotFound`, `NotPermitted`, `StateConflict`, `UsageError` without a reason.
        """
        if not reason.strip():
            raise UsageError("A rejection needs a reason.", hint="--reason TEXT")
        found, current = await self._read(change)
        if person != found.author:
            self._may(found, current, person=person, roles=roles)

        def write(transaction: Transaction) -> Decided:
            changes.decide(transaction, change, ChangeState.REJECTED, by=person, reason=reason)
            body = {"change": change, "author": found.author, "reason": reason}
            transaction.audit("change.rejected", person=person, body=body)
            return Decided(change=change, state=ChangeState.REJECTED, version=current.version, workflows={})

        return await self.store.transact(write)

    async def _read(self, change: str) -> tuple[Change, InForce]:
        environment = self.settings.environment
        found = await self.store.read(lambda connection: changes.get(connection, change))
        current = await self.store.read(lambda connection: documents.in_force(connection, environment))
        if found.state is not ChangeState.WAITING or current is None:
            said = f": {found.reason}" if found.reason else ""
            raise StateConflict(f"The change {change} is {found.state}{said}.", hint="interlock changes list")
        return found, current

    def _may(self, found: Change, current: InForce, *, person: str, roles: Collection[str]) -> None:
        alone = self.settings.self_approve and self.settings.environment == "dev"
        if person == found.author and not alone:
            raise NotPermitted(
                "The author of a change does not approve it.", hint="Another person has to decide."
            )
        author = "" if alone else found.author
        named = rule.may_decide(author, found.differences, current.documents)
        owners = _owners(found, current.documents)
        if person not in named or not (person in owners or rule.DECIDERS.intersection(roles)):
            raise NotPermitted(
                f"{person} may not decide this change.", hint=f"These may: {', '.join(named) or 'nobody'}."
            )

    def _enforce(
        self,
        transaction: Transaction,
        found: Change,
        bundle: Bundle,
        versions: dict[Name, int],
        *,
        person: str,
        reason: str,
    ) -> Decided:
        version = bundles.put_in_force(
            transaction, self.memory, bundle, versions, base=found.base_version, by=found.author
        )
        if found.restores:
            deployments.bring_back(transaction, found.restores, by=found.author)
        workflows = {name: each.version for name, each in bundle.workflows.items()}
        body = {
            "change": found.id,
            "author": found.author,
            "reason": reason,
            "version": version,
            "digest": bundle.digest,
            "workflows": workflows,
            "differences": [str(each) for each in found.differences],
        }
        transaction.audit("change.approved", person=person, body=body)
        return Decided(change=found.id, state=ChangeState.APPROVED, version=version, workflows=workflows)


def _owners(found: Change, in_force: tuple[AnyDocument, ...]) -> set[str]:
    names = rule.affected(found.differences, in_force)
    return {each.owner for each in in_force if isinstance(each, Workflow) and each.name in names}


def _compiled(
    declared: tuple[AnyDocument, ...],
    versions: dict[Name, int],
    environment: str,
    shapes: dict[str, Shape],
    restores: bool,
) -> Bundle:
    try:
        bundle = version.compiled(declared, versions, environment)
        require_undos(bundle, shapes, lenient=restores)
        return bundle
    except BundleInvalid as invalid:
        said = "; ".join(problem.message for problem in invalid.problems[:5])
        raise ManifestError(
            f"The change no longer makes a valid bundle: {said}.", hint="Apply it again."
        ) from invalid


def _stale(found: Change, version: int | None) -> StateConflict:
    now = f"version {version}" if version is not None else "another version"
    return StateConflict(
        f"The change was made against version {found.base_version}, but {now} is in force now.",
        hint=f"{found.author} has to plan and apply it again.",
    )
