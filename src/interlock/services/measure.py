"""Measure how far a call reaches before it is decided: ask the preview that its map entry declares (A1).

Only a call that nothing else speaks against is measured, and the preview passes the gates of any read:
registered, not drifted, arguments that fit. It is on record before it is sent, counts against no limit of
the call, and has little time. Whatever goes wrong leaves the reach unknown, with the reason said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from interlock.core import admission, canonical, reach
from interlock.core.document.tool import Companion
from interlock.core.model import Decision, Json, Request
from interlock.core.reach import Measured, NotMeasured
from interlock.runtime import Runtime
from interlock.store.database import JournalEntry, Store
from interlock.store.memory import Memory
from interlock.upstream.executor import (
    Bridge,
    Dispatch,
    Failed,
    InputNeeded,
    NotSent,
    Outcome,
    Succeeded,
    Unknown,
)

DEADLINE = 5.0
"""Seconds a preview has to answer: a call waits for it, and it only reads."""

Execute = Callable[[Dispatch, Bridge | None], Awaitable[Outcome]]
_START = 60.0
_SILENT = "it gave no answer in time, or none that can be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Asks previews. `deadline` is how long each may take to answer, in seconds."""

    store: Store
    memory: Memory
    runtime: Runtime
    execute: Execute
    deadline: float = DEADLINE

    def declared(self, tool: str) -> Companion | None:
        """Return the preview that the map declares for `tool`: what declares none costs nothing."""
        bundle = self.memory.bundle
        compiled = bundle.tools.get(tool) if bundle is not None else None
        return None if compiled is None else compiled.preview

    async def reach(self, request: Request, *, own: int = 0) -> Measured | None:
        """Return what the preview of a call measured, or None where there is nothing to measure.

        `own` calls are reserved for this very one and do not count against it. Raises `StoreUnavailable`
        when the preview cannot be recorded; it is not sent then.
        """
        preview, bundle = self.declared(request.tool), self.memory.bundle
        if preview is None or bundle is None:
            return None
        snapshot = self.memory.snapshot(request.principal, request.tool, own=own)
        if not admission.to_be_measured(request, snapshot, self.runtime.clock.now()):
            return None
        try:
            return Measured(bundle=bundle.digest, reach=await self._ask(request, preview))
        except NotMeasured as unknown:
            return Measured(bundle=bundle.digest, problem=str(unknown))

    async def _ask(self, request: Request, preview: Companion) -> Mapping[str, Json]:
        arguments = reach.fill(preview.arguments, request.arguments)
        return reach.read(await self.ask(request, preview.tool, arguments, kind="call.previewed"))

    async def ask(
        self, request: Request, tool: str, arguments: dict[str, Json], *, kind: str
    ) -> Mapping[str, Json]:
        """Return what a read-only `tool` that the map declares says about a call; it is on record before.

        Raises `NotMeasured` when it says nothing or may not be asked, `StoreUnavailable` when it cannot be
        recorded; it is not sent then.
        """
        asked = self._request(request, tool, arguments)
        snapshot = self.memory.snapshot(asked.principal, asked.tool)
        decision = admission.decide_preview(asked, snapshot, self.runtime.clock.now())
        if decision.denied:
            raise NotMeasured(f"it may not be asked ({decision.reason.code})")
        await self.store.journal(self._entry(request, asked, decision, kind))
        return _payload(await self._sent(asked))

    def _request(self, request: Request, tool: str, arguments: dict[str, Json]) -> Request:
        try:
            digest = canonical.digest(arguments)
        except canonical.NotCanonical:
            raise NotMeasured("its arguments are not acceptable") from None
        return Request(tool=tool, arguments=arguments, digest=digest, principal=request.principal)

    async def _sent(self, asked: Request) -> Outcome:
        """Send the preview on the run's own connection. Nobody is attached, so it can ask nobody.

        The deadline counts from the sending. A tool server that must be started first has its usual time
        for that, which the call itself would have to wait for as well.
        """
        server, _, tool = asked.tool.partition(".")
        dispatch = Dispatch(
            action=None,
            server=server,
            tool=tool,
            arguments=asked.arguments,
            principal=asked.principal,
            timeout=self.deadline,
        )
        try:
            async with asyncio.timeout(_START + self.deadline):
                return await self.execute(dispatch, None)
        except TimeoutError:
            raise NotMeasured(_SILENT) from None

    def _entry(self, request: Request, asked: Request, decision: Decision, kind: str) -> JournalEntry:
        principal = asked.principal
        return JournalEntry(
            at=self.runtime.clock.now(),
            kind=kind,
            body={
                "for": request.tool,
                "for_digest": request.digest,
                "digest": asked.digest,
                "pin": decision.pin,
            },
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
            tool=asked.tool,
        )


def _payload(outcome: Outcome) -> Mapping[str, Json]:
    """Return an answer. What a tool server says about its failure could quote anything, so it is left out."""
    match outcome:
        case Succeeded(payload=payload):
            return payload
        case Failed():
            raise NotMeasured("it failed")
        case Unknown():
            raise NotMeasured(_SILENT)
        case NotSent():
            raise NotMeasured("its tool server cannot be reached")
        case InputNeeded():
            raise NotMeasured("it asked for input")
