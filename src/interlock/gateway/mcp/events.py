"""What a legacy client missed while its stream was down: a few events, for a while, by unguessable id."""

from __future__ import annotations

import secrets
from collections import OrderedDict

from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp_types import JSONRPCMessage

_EVENTS = 64


class BoundedEvents(EventStore):
    """The last events of one legacy session."""

    def __init__(self, limit: int = _EVENTS) -> None:
        self._limit = limit
        self._events: OrderedDict[EventId, tuple[StreamId, JSONRPCMessage | None]] = OrderedDict()

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keep one event and return its id."""
        event = secrets.token_urlsafe(16)
        self._events[event] = stream_id, message
        if len(self._events) > self._limit:
            self._events.popitem(last=False)
        return event

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        """Send what followed `last_event_id` on its stream."""
        known = self._events.get(last_event_id)
        if known is None:
            return None
        stream, found = known[0], False
        for event, (of, message) in list(self._events.items()):
            if found and of == stream and message is not None:
                await send_callback(EventMessage(message, event))
            found = found or event == last_event_id
        return stream
