"""The declared providers: where a call goes, with whose credentials, and how many go at once (B1, H2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from interlock.core.document.provider import Provider
from interlock.core.model import WireFamily
from interlock.core.model_route import Route
from interlock.core.rotation import refusal
from interlock.errors import UpstreamUnavailable
from interlock.runtime import Clock
from interlock.upstream.llm.slots import Slots
from interlock.upstream.llm.surface import Surface
from interlock.upstream.llm.transport import Incoming, Outgoing, RawHeaders, Transport

_REFERENCE = "secret://env/"
_NEWER_CAP = ("api.openai.com", ".openai.azure.com")
Secret = Callable[[str], str | None]


class Providers:
    """Sends calls to the providers of the manifest. `secret` resolves the name of a secret.

    `connect` makes the transport, when the first call needs it or `open` asks for it.
    """

    def __init__(self, connect: Callable[[], Transport], *, secret: Secret, clock: Clock) -> None:
        self._connect = connect
        self._transport: Transport | None = None
        self._secret = secret
        self._clock = clock
        self._slots: dict[tuple[str, int], Slots] = {}

    async def send(
        self, route: Route, surface: Surface, *, query: str, headers: RawHeaders, body: bytes
    ) -> Incoming:
        """Send a call with the provider's credentials. Raises `UpstreamUnavailable`, `OutcomeUnknown`."""
        provider = route.provider
        own = self._credentials(provider, surface.family)
        kept = headers
        if own:
            replaced = {name.lower() for name, _ in own}
            kept = [each for each in headers if each[0] not in replaced]
        url = f"{provider.address(surface.family)}{surface.suffix}"
        return await self.open().send(
            Outgoing(
                url=f"{url}?{query}" if query else url,
                headers=(*kept, *own),
                body=body,
                timeouts=provider.timeouts,
            )
        )

    def unset(self, provider: Provider) -> tuple[str, ...]:
        """Return the names of the secrets that a provider's credentials refer to and that are not set."""
        given = provider.credentials
        references = [each for each in (given.api_key, *given.headers.values()) if each is not None]
        names = [each.removeprefix(_REFERENCE) for each in references if each.startswith(_REFERENCE)]
        return tuple(dict.fromkeys(each for each in names if self._secret(each) is None))

    def open(self) -> Transport:
        """Return the transport, made now if there is none yet."""
        if self._transport is None:
            self._transport = self._connect()
        return self._transport

    async def close(self) -> None:
        """Drop every connection to a provider."""
        if self._transport is not None:
            await self._transport.close()

    def slots(self, provider: Provider) -> Slots:
        """Return the slots of a provider: as many as its document allows."""
        key = (provider.name, provider.concurrency)
        found = self._slots.get(key)
        if found is None:
            found = self._slots[key] = Slots(provider.concurrency)
        return found

    def _credentials(self, provider: Provider, family: WireFamily) -> RawHeaders:
        given = provider.credentials
        expired = None if given.expires is None else refusal(provider, self._clock.now())
        if expired is not None:
            raise UpstreamUnavailable(expired, hint=f"{given.owner or 'Its owner'} must replace it.")
        headers = {name: self._resolved(value, provider) for name, value in given.headers.items()}
        if given.api_key is not None:
            key = self._resolved(given.api_key, provider)
            named = {"Authorization": f"Bearer {key}"} if family is WireFamily.OPENAI else {"x-api-key": key}
            headers = named | headers
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    def _resolved(self, value: str, provider: Provider) -> str:
        if not value.startswith(_REFERENCE):
            return value
        found = self._secret(value.removeprefix(_REFERENCE))
        if found is None:
            raise UpstreamUnavailable(
                f"A credential of the provider {provider.name!r} is not set: {value}.",
                hint="Set it in the environment of interlock serve.",
            )
        return found


def cap_field(surface: Surface, provider: Provider) -> str:
    """Return the field that limits the output where the caller set none.

    OpenAI's own models refuse the older name, and many compatible servers do not know the newer one.
    """
    return surface.caps[0 if _newer_cap(provider.base_url) else -1] if surface.caps else ""


@lru_cache(maxsize=256)
def _newer_cap(base_url: str) -> bool:
    host = base_url.partition("://")[2].partition("/")[0].partition(":")[0]
    return host.endswith(_NEWER_CAP)
