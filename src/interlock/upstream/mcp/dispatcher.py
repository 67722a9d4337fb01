"""The SDK's dispatcher, which also says when it ended and stops a flood of notifications."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher

BURST = 20_000
"""How many notifications a server may send during one call."""


class Dispatcher(JSONRPCDispatcher[Any]):
    """Sends requests from any task. `ended` is called once at its end, `flooded` for each one too many."""

    def __init__(
        self, read: Any, write: Any, *, ended: Callable[[], None], flooded: Callable[[], None]
    ) -> None:
        super().__init__(read, write)
        self._ended = ended
        self._flooded = flooded
        self._notifications = 0

    async def run(
        self, on_request: Any, on_notify: Any, on_notify_intercept: Any = None, **options: Any
    ) -> None:
        """Read until the transport ends, as the SDK does, dropping what is more than a burst."""

        def counted(method: str, params: Mapping[str, Any] | None) -> bool:
            self._notifications += 1
            if self._notifications > BURST:
                self._flooded()
                return True
            return on_notify_intercept is not None and on_notify_intercept(method, params)

        try:
            await super().run(on_request, on_notify, counted, **options)
        finally:
            self._ended()

    def calm(self) -> None:
        """Start counting anew; called whenever a call is sent."""
        self._notifications = 0
