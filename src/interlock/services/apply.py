"""Apply a manifest: what narrows acts at once, what widens waits for somebody else (A3, invariant 3).

Everything is compiled before the transaction; the transaction only writes, on condition that what was
compared with is still in force. The first apply on an empty store makes the administrator.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from interlock.core import change, version
from interlock.core.authority import Difference
from interlock.core.bundle import Bundle
from interlock.core.change import Staged
from interlock.core.document.identity import Person
from interlock.core.document.kind import AnyDocument
from interlock.core.misfit import Shape
from interlock.core.note import notes
from interlock.core.undo_check import require_undos
from interlock.errors import SnapshotMoved, StateConflict, UsageError
from interlock.runtime import Runtime
from interlock.settings import Settings
from interlock.store import bundles, changes, credentials, documents, people, pins
from interlock.store.database import Store, Transaction
from interlock.store.documents import InForce, Name
from interlock.store.memory import Memory

ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What an apply did. `change` is the id of what waits for one of `waits_for`, if anything does.

    `administrator` and `token` are there after the first apply only, and the token is shown once.
    """

    version: int
    digest: str
    acted: bool
    differences: tuple[Difference, ...]
    workflows: dict[str, int]
    notes: tuple[str, ...]
    change: str | None = None
    waits_for: tuple[str, ...] = ()
    together: bool = False
    administrator: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be applied: the documents, by whom, and the version they were planned against if shown.

    `author` None is nobody: allowed on an empty store alone. `admin` picks the administrator there.
    `restores` is the deployment that it brings back, where it is a rollback.
    """

    declared: tuple[AnyDocument, ...]
    author: str | None
    base: int | None = None
    admin: str | None = None
    restores: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """The use case with its handles."""

    store: Store
    memory: Memory
    settings: Settings
    runtime: Runtime

    async def apply(self, order: Order) -> Applied:
        """Apply `order` atomically.

        Raises `BundleInvalid` when the documents do not make a bundle (nothing changes then),
        `StateConflict` when something else was applied since the plan, `UsageError` when the first apply
        names no administrator.
        """
        for _ in range(ATTEMPTS):
            try:
                return await self._once(order)
            except SnapshotMoved:
                continue
        raise StateConflict("The manifest in force kept changing.", hint="Plan and apply again.")

    async def _once(self, order: Order) -> Applied:
        environment = self.settings.environment
        current = await self.store.read(lambda connection: documents.in_force(connection, environment))
        base = current.version if current else 0
        if order.base is not None and order.base != base:
            raise StateConflict(
                f"This was planned against version {order.base}, but version {base} is in force.",
                hint="Plan and apply again.",
            )
        author = self._author(order, current)
        known = await self.store.read(documents.last_versions)
        shapes = await self.store.read(pins.shapes)
        work = await asyncio.to_thread(self._decided, order, author, current, known, shapes)
        return await self.store.transact(work.write)

    def _decided(
        self,
        order: Order,
        author: str,
        current: InForce | None,
        known: dict[Name, tuple[int, str]],
        shapes: dict[str, Shape],
    ) -> _Work:
        """Compare and compile, which takes long: on no thread that a call waits for."""
        environment = self.settings.environment
        staged = change.stage(
            current.documents if current else (),
            order.declared,
            environment=environment,
            agreed=current is None or (self.settings.self_approve and environment == "dev"),
        )
        acts = staged.acts or ()
        versions = version.next_versions(known, acts)
        return _Work(
            apply=self,
            order=order,
            author=author,
            current=current,
            staged=staged,
            versions=versions,
            bundle=None if staged.acts is None else version.compiled(acts, versions, environment),
            undos=require_undos(
                change.compiled(order.declared, environment), shapes, lenient=bool(order.restores)
            ),
        )

    def _author(self, order: Order, current: InForce | None) -> str:
        if current is None:
            return _administrator(order)
        if order.author is None:
            raise UsageError("Nobody is signed in.", hint="Set INTERLOCK_TOKEN, or: interlock token login")
        return order.author


def _administrator(order: Order) -> str:
    admins = [each.name for each in order.declared if isinstance(each, Person) and "admin" in each.roles]
    if order.admin is not None and order.admin in admins:
        return order.admin
    if order.admin is not None or len(admins) != 1:
        names = f"these have it: {', '.join(admins)}" if admins else "nobody has it"
        raise UsageError(
            f"The first apply makes the administrator: one Person with the role admin; {names}.",
            hint="Declare a Person with roles: [admin], or pick one with --admin NAME.",
        )
    return admins[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One attempt: everything is decided, and only has to be written. `bundle` is what acts at once."""

    apply: Apply
    order: Order
    author: str
    current: InForce | None
    staged: Staged
    versions: dict[Name, int]
    bundle: Bundle | None
    undos: tuple[str, ...]

    def write(self, transaction: Transaction) -> Applied:
        """Write what acts and what waits. Raises `SnapshotMoved` when the version in force moved."""
        old = self.current.documents if self.current else ()
        environment = self.apply.settings.environment
        applied = Applied(
            version=self.current.version if self.current else 0,
            digest=self.current.digest if self.current else "",
            acted=False,
            differences=self.staged.differences,
            workflows={},
            together=self.staged.together,
            notes=(
                *notes(old, self.order.declared, environment=environment, now=transaction.now),
                *self.undos,
            ),
        )
        if self.bundle is not None:
            applied = self._enforce(transaction, applied, self.bundle)
        if self.staged.waits:
            applied = self._propose(transaction, applied)
        return applied if self.current else self._bootstrap(transaction, applied)

    def _enforce(self, transaction: Transaction, applied: Applied, bundle: Bundle) -> Applied:
        version = bundles.put_in_force(
            transaction, self.apply.memory, bundle, self.versions, base=applied.version, by=self.author
        )
        workflows = {name: each.version for name, each in bundle.workflows.items()}
        body = {
            "version": version,
            "digest": bundle.digest,
            "workflows": workflows,
            "differences": [str(each) for each in self.staged.differences],
            "only_what_narrows": self.staged.waits,
        }
        transaction.audit("manifest.applied", person=self.author, body=body)
        return replace(applied, version=version, digest=bundle.digest, acted=True, workflows=workflows)

    def _propose(self, transaction: Transaction, applied: Applied) -> Applied:
        declared = change.effective(self.order.declared, self.apply.settings.environment)
        base = documents.head_version(transaction.connection, self.apply.settings.environment)
        if base != applied.version:
            raise SnapshotMoved("Another manifest was applied meanwhile.", hint="Plan and apply again.")
        old = self.current.documents if self.current else ()
        waits_for = change.may_decide(self.author, self.staged.waiting, old)
        author, restores = self.author, self.order.restores
        same = changes.same_waiting(
            transaction.connection, declared, author=author, base=base, restores=restores
        )
        identity = same or changes.propose(
            transaction, declared, self.staged.waiting, author=author, base=base, restores=restores
        )
        if same is None:
            body = {"change": identity, "base": base, "waits_for": list(waits_for)}
            body["differences"] = [str(each) for each in self.staged.waiting]
            transaction.audit("change.proposed", person=self.author, body=body)
        return replace(applied, change=identity, waits_for=waits_for)

    def _bootstrap(self, transaction: Transaction, applied: Applied) -> Applied:
        token = people.add_token(transaction, self.author, label="first administrator").secret
        credentials.write(self.apply.settings.data, person=self.author, token=token)
        transaction.audit("manifest.bootstrapped", person=self.author, body={"version": applied.version})
        return replace(applied, administrator=self.author, token=token)
