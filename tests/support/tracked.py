"""A governed world whose trials are counted and whose digests are made."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from interlock.core.action import Action
from interlock.core.document.kind import AnyDocument
from interlock.core.model import SECOND, AutonomyTier
from interlock.core.track_record import Cause, TrackRecord
from interlock.services.demote import Demote
from interlock.services.digest import Digests
from interlock.services.promote import Promote
from interlock.services.track import TrackRecords
from interlock.store import digests, track_records, trials
from interlock.store.schema import audit
from interlock.store.schema import track_records as rows
from interlock.store.trials import Trial
from support.engine import World, failed

DAY = 86_400


class Tracked(World):
    """A world whose trials are counted and whose digests are made."""

    async def open(self, manifest: list[AnyDocument] | None = None, *, trusting: bool = True) -> Tracked:
        await super().open(manifest, trusting=trusting)
        self.tracked = TrackRecords(store=self.store, memory=self.memory)
        self.store.follow(self.tracked.follow)
        await self.tracked.load()
        self.digests = Digests(store=self.store, memory=self.memory)
        self.calls.ring.on(self.tracked.matures, self.tracked.mature)
        self.calls.ring.on(self.digests.due, self.digests.make)
        return self

    @property
    def promote(self) -> Promote:
        return Promote(store=self.store, memory=self.memory, runtime=self.runtime)

    @property
    def demote(self) -> Demote:
        return Demote(store=self.store, memory=self.memory)

    async def record(self, workflow: str = "orders", tool: str = "shop.write") -> TrackRecord:
        found = await self.store.read(lambda c: track_records.find(c, self.memory, workflow, tool))
        assert found is not None
        return found

    async def trial(self, action: str) -> Trial:
        found = await self.store.read(lambda c: trials.find(c, action))
        assert found is not None
        return found

    async def works(
        self, times: int = 1, tool: str = "shop.write", *, fails: bool = False, wait: float = 5
    ) -> list[Action]:
        """Let so many runs each make one call of a tool."""
        for _ in range(times):
            run = await self.open_run()
            if fails:
                self.script.answers.append(failed())
            await self.propose(tool, {"order": run}, principal=self.principal(run), wait=wait)
        return (await self.every())[-times:]

    def step(self, seconds: float) -> None:
        """Let time pass, for a store on PostgreSQL too."""
        self.ahead(seconds)
        if self.settings.database:
            self.store._written.observe(self.store._written.latest + round(seconds) * SECOND)

    async def digest(self) -> str:
        """Have the digest of maria made now, as her timer does, and return its id."""
        await self.store.transact(lambda transaction: self.digests.make(transaction, "maria"))
        return (await self.store.read(lambda c: digests.listed(c, "dev")))[0].id

    async def ripen(self, tool: str = "shop.write") -> None:
        """Let the window of everything pass, and its timer fire."""
        self.step(DAY + 60)
        await self.store.transact(lambda tx: self.tracked.mature(tx, f"orders {tool}"))

    async def put(
        self, tier: AutonomyTier = AutonomyTier.ASYNC_REVIEW, tool: str = "shop.write", **counts: int
    ) -> None:
        """Give a workflow a record as if it had earned it."""

        def work(transaction: Any) -> None:
            held = track_records.hold(transaction, self.memory, "orders", tool)
            assert held is not None
            if held.tier is not tier:
                track_records.change(transaction, self.memory, held, tier, cause=Cause.PERSON)
            here = sa.and_(rows.c.workflow == "orders", rows.c.tool == tool)
            transaction.execute(sa.update(rows).where(here).values(began_at=0, **counts))

        await self.store.transact(work)

    async def kinds(self, kind: str) -> list[Any]:
        query = sa.select(audit).where(audit.c.kind == kind)
        return list(await self.store.read(lambda found: found.execute(query).all()))
