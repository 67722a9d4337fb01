"""Say what applying a manifest would do, without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import change, version
from interlock.core.authority import Difference
from interlock.core.document.kind import AnyDocument
from interlock.core.note import notes
from interlock.core.undo_check import require_undos
from interlock.runtime import Runtime
from interlock.settings import Settings
from interlock.store import documents, pins
from interlock.store.database import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would change from version `base` (0: nothing is in force), and who must agree.

    `acts` says whether anything acts at once, `waits` whether the rest waits for one of `waits_for`,
    `together` that a narrowing cannot be taken out of the whole. `workflows` maps name to next version.
    """

    environment: str
    base: int
    differences: tuple[Difference, ...]
    acts: bool
    waits: bool
    together: bool
    waits_for: tuple[str, ...]
    workflows: dict[str, int]
    notes: tuple[str, ...]


async def plan(
    *, store: Store, settings: Settings, runtime: Runtime, declared: tuple[AnyDocument, ...], author: str
) -> Plan:
    """Return the plan for `declared`. Raises `BundleInvalid` as `Apply` does."""
    environment = settings.environment
    current = await store.read(lambda connection: documents.in_force(connection, environment))
    known = await store.read(documents.last_versions)
    old = current.documents if current else ()
    agreed = current is None or (settings.self_approve and environment == "dev")
    staged = change.stage(old, declared, environment=environment, agreed=agreed)
    versions = version.next_versions(known, change.effective(declared, environment))
    undos = require_undos(change.compiled(declared, environment), await store.read(pins.shapes))
    moved = {
        name[1]: each
        for name, each in versions.items()
        if name[0] == "Workflow" and _moved(known, name, each)
    }
    return Plan(
        environment=environment,
        base=current.version if current else 0,
        differences=staged.differences,
        acts=staged.acts is not None,
        waits=staged.waits,
        together=staged.together,
        waits_for=change.may_decide(author, staged.waiting, old) if staged.waits else (),
        workflows=moved,
        notes=(
            *notes(old, declared, environment=environment, now=runtime.clock.now()),
            *undos,
        ),
    )


def _moved(known: dict[documents.Name, tuple[int, str]], name: documents.Name, version: int) -> bool:
    return known.get(name, (0, ""))[0] != version
