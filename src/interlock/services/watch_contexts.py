"""Sum up how large contexts were, and tell of those that grew from one deployment to another (B6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

import sqlalchemy as sa

from interlock.core.alert import AlertKind
from interlock.core.context import Growth, Reading, growth, reading
from interlock.core.model import MINUTE
from interlock.core.price_book import PriceBook
from interlock.store import contexts
from interlock.store.alert_events import Raised, raise_alert
from interlock.store.contexts import Measured
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory

EVERY = 5 * MINUTE
Windows = Callable[[str], int | None]
"""Says how many tokens a model, named `provider/model`, can have in view; None where it is not known."""


def known_windows(book: PriceBook, now: int) -> Windows:
    """Return who knows the windows of models: the manifest, then the price list."""

    def window(model: str) -> int | None:
        provider, _, name = model.partition("/")
        price = book.find(provider, name, now=now) or book.ceiling(provider, name)
        return None if price is None else price.window

    return window


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """The contexts of one workflow: a reading for each deployment, and whether the newest has grown."""

    workflow: str
    readings: tuple[Reading, ...]
    models: tuple[Measured, ...]

    @property
    def growth(self) -> Growth | None:
        """How the newest deployment grew over the best of those before it."""
        return growth(self.readings)


def read_contexts(connection: sa.Connection, environment: str, workflow: str, windows: Windows) -> Contexts:
    """Return what is known of a workflow's contexts, in the order of its versions."""
    found = contexts.of_workflow(connection, environment, workflow)
    return Contexts(workflow=workflow, readings=readings(found, windows), models=tuple(found))


def readings(found: Iterable[Measured], windows: Windows) -> tuple[Reading, ...]:
    """Return one reading for each version, over all of its models."""
    return tuple(
        reading(version, [(each.sizes, windows(each.model)) for each in models])
        for version, models in groupby(found, key=lambda each: each.version)
    )


async def watch_contexts(*, store: Store, memory: Memory, windows: Windows) -> list[str]:
    """Sum up the ledger, raise an alert for each context that grew, and return the workflows they are of.

    The alert is raised once for each deployment. Raises `StoreError`.
    """
    await store.transact(lambda tx: contexts.sum_up(tx, memory.environment, tx.now - contexts.LAG))
    names = await store.read(lambda connection: contexts.workflows(connection, memory.environment))
    told: list[str] = []
    for name in names:
        known = await store.read(
            lambda connection, name=name: read_contexts(connection, memory.environment, name, windows)
        )
        if known.growth is not None and await store.transact(_raising(memory, name, known.growth)):
            told.append(name)
    return told


def _raising(memory: Memory, workflow: str, grown: Growth) -> Callable[[Transaction], bool]:
    before, after = grown.before, grown.after
    what = "95th percentile" if grown.measure == "p95" else "mean"
    by, since = grown.rise // 10, before.version
    raised = Raised(
        kind=AlertKind.CONTEXT_GROWTH,
        subject=f"workflow:{workflow}",
        period=f"version:{after.version}",
        summary=f"The contexts of {workflow}@{after.version} grew: {what} {by} % over {workflow}@{since}",
        facts={
            "measure": grown.measure,
            "before": getattr(before, grown.measure),
            "after": getattr(after, grown.measure),
            "calls": after.calls,
        },
        workflow=workflow,
    )
    return lambda transaction: raise_alert(transaction, memory, raised) is not None
