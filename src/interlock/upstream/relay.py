"""A bridge to whoever is attached right now: callers come and go while the call they share goes on."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.core.model import Json
from interlock.errors import InterlockError, UpstreamRefused
from interlock.upstream.executor import Bridge


class Relay:
    """The way back from one executing action. Progress goes to all who are attached, questions to one."""

    def __init__(self) -> None:
        self._attached: list[Bridge] = []

    def __bool__(self) -> bool:
        return bool(self._attached)

    def attach(self, bridge: Bridge) -> None:
        """Send what comes back to `bridge` as well."""
        self._attached.append(bridge)

    def detach(self, bridge: Bridge) -> None:
        """Send nothing more to `bridge`."""
        if bridge in self._attached:
            self._attached.remove(bridge)

    @property
    def capabilities(self) -> Mapping[str, Json]:
        """What the first caller declared; nothing when nobody is attached."""
        return self._attached[0].capabilities if self._attached else {}

    @property
    def can_be_asked(self) -> bool:
        """Whether the first caller can be asked while the call is open."""
        return bool(self._attached) and self._attached[0].can_be_asked

    @property
    def wants_progress(self) -> bool:
        """Whether anybody who is attached wants to know."""
        return any(bridge.wants_progress for bridge in self._attached)

    @property
    def log_level(self) -> str | None:
        """What the first caller wants of the log."""
        return self._attached[0].log_level if self._attached else None

    @property
    def meta(self) -> Mapping[str, Json]:
        """What the first caller says to the tool server beside the arguments."""
        return self._attached[0].meta if self._attached else {}

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report to everyone; a caller who cannot be reached any more does not stop the call."""
        for bridge in tuple(self._attached):
            try:
                await bridge.progress(progress, total, message)
            except InterlockError:
                self.detach(bridge)

    async def log(self, params: Mapping[str, Json]) -> None:
        """Pass a log message on to everyone."""
        for bridge in tuple(self._attached):
            try:
                await bridge.log(params)
            except InterlockError:
                self.detach(bridge)

    async def elicit(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Ask the person at the first caller. Raises `UpstreamRefused` when nobody is attached."""
        return await self._first().elicit(params)

    async def sample(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Ask the first caller's model. Raises `UpstreamRefused` when nobody is attached."""
        return await self._first().sample(params)

    async def roots(self) -> dict[str, Json]:
        """Ask the first caller for its folders. Raises `UpstreamRefused` when nobody is attached."""
        return await self._first().roots()

    def _first(self) -> Bridge:
        if not self._attached:
            raise UpstreamRefused("The caller is no longer attached.", hint="It may come back and ask again.")
        return self._attached[0]
