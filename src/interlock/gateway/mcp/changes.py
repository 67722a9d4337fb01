"""Our own change events. What a server says is never forwarded: each run hears of its own lists only.

A modern client hears them on the `subscriptions/listen` stream it opened, a legacy one on its session.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from interlock.runtime import Runtime

_SESSIONS = 32
_URIS = 256
_EVENTS: Mapping[str, tuple[ServerEvent, Callable[[], Any]]] = {
    "tools": (ToolsListChanged(), types.ToolListChangedNotification),
    "prompts": (PromptsListChanged(), types.PromptListChangedNotification),
    "resources": (ResourcesListChanged(), types.ResourceListChangedNotification),
}


@dataclass(slots=True)
class _Listeners:
    """Who listens in one run: open streams, legacy sessions, and what each session subscribed to."""

    bus: InMemorySubscriptionBus = field(default_factory=InMemorySubscriptionBus)
    streams: int = 0
    sessions: OrderedDict[str, ServerSession] = field(default_factory=OrderedDict[str, ServerSession])
    uris: dict[str, set[str]] = field(default_factory=dict[str, set[str]])


class Changes:
    """Tells runs that one of their lists, or a resource they follow, changed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._runs: dict[str, _Listeners] = {}

    @property
    def runs(self) -> list[str]:
        """Every run that somebody listens in."""
        return list(self._runs)

    def bus(self, run: str) -> InMemorySubscriptionBus:
        """Return what the listen streams of `run` are fed from."""
        return self._of(run).bus

    def join(self, run: str, session_id: str, session: ServerSession) -> None:
        """Know a legacy session that can be told; the oldest goes when a run has too many."""
        listeners = self._of(run)
        listeners.sessions[session_id] = session
        if len(listeners.sessions) > _SESSIONS:
            gone, _ = listeners.sessions.popitem(last=False)
            listeners.uris.pop(gone, None)

    def follow(self, run: str, session_id: str, uri: str) -> bool:
        """Have a legacy session told when `uri` changes; False when it follows too many."""
        uris = self._of(run).uris.setdefault(session_id, set())
        if len(uris) >= _URIS and uri not in uris:
            return False
        uris.add(uri)
        return True

    def follows(self, run: str, session_id: str, uri: str) -> bool:
        """Whether a legacy session is told about `uri`."""
        return uri in self._of(run).uris.get(session_id, ())

    def unfollow(self, run: str, session_id: str, uri: str) -> bool:
        """Stop telling a legacy session about `uri`; False when it was not told."""
        known = self.follows(run, session_id, uri)
        self._of(run).uris.get(session_id, set()).discard(uri)
        return known

    def open_stream(self, run: str, limit: int) -> bool:
        """Count one more listen stream of `run`; False when it has `limit` already."""
        listeners = self._of(run)
        if listeners.streams >= limit:
            return False
        listeners.streams += 1
        return True

    def close_stream(self, run: str) -> None:
        """Count one listen stream less; a run nobody listens in is forgotten."""
        listeners = self._of(run)
        listeners.streams -= 1
        if listeners.streams <= 0 and not listeners.sessions:
            self.forget(run)

    def forget(self, run: str) -> None:
        """A run is over: nobody listens any more."""
        self._runs.pop(run, None)

    def list_changed(self, run: str, kind: str) -> None:
        """Tell everybody in `run` that its list of `tools`, `prompts` or `resources` changed."""
        event, note = _EVENTS[kind]
        self._publish(run, event, note(), lambda _: True)

    def resource_updated(self, run: str, uri: str) -> None:
        """Tell everybody in `run` who follows `uri` that it changed."""
        note = types.ResourceUpdatedNotification(params=types.ResourceUpdatedNotificationParams(uri=uri))
        uris = self._of(run).uris
        self._publish(run, ResourceUpdated(uri=uri), note, lambda session: uri in uris.get(session, ()))

    def _publish(self, run: str, event: ServerEvent, note: Any, wants: Callable[[str], bool]) -> None:
        listeners = self._runs.get(run)
        if listeners is None:
            return
        sessions = [session for name, session in listeners.sessions.items() if wants(name)]

        async def tell() -> None:
            await listeners.bus.publish(event)
            await asyncio.gather(*(session.send_notification(note) for session in sessions))

        self._runtime.scheduler.spawn(tell(), name=f"changes of {run}")

    def _of(self, run: str) -> _Listeners:
        return self._runs.setdefault(run, _Listeners())
