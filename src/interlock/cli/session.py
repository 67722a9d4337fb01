"""The launcher's side of a run: open it with a code or a key, keep its token fresh, end it (H2).

The token lives in this process alone. It is asked for two minutes at a time and renewed at half of that,
so the server notices within minutes when the launcher dies.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.errors import GrantRefused, InterlockError, StoreUnavailable
from interlock.runtime import Runtime
from interlock.sdk.endpoint import Endpoint
from interlock.sdk.grant import LIFE, RUN_TOKEN, end_form, exchange_form, granted, unreachable
from interlock.sdk.proof import Proof

if TYPE_CHECKING:
    import aiohttp

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What was open in a run when its program ended: each with `approval`, `action`, `tool`, `state`."""

    cancelled: list[dict[str, Any]]
    waiting: list[dict[str, Any]]


class RunSession:
    """An open run. `token` is always the newest; `lost` says why there will be no newer one.

    `reached` says whether anything of the program went through the client to the gateway.
    """

    def __init__(self, place: Endpoint, runtime: Runtime, *, life: int = LIFE) -> None:
        self.run = ""
        self.workflow = ""
        self.token = ""
        self.lost = ""
        self.reached = False
        self._place = place
        self._runtime = runtime
        self._life = life
        self._client: aiohttp.ClientSession | None = None
        self._expires = 0.0

    @property
    def client(self) -> aiohttp.ClientSession:
        """The HTTP client to the server, which streams both ways and decodes nothing."""
        import aiohttp

        if self._client is None:
            path = self._place.socket
            connector = (
                aiohttp.UnixConnector(path=str(path), limit=0) if path else aiohttp.TCPConnector(limit=0)
            )
            self._client = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
                trace_configs=[self._watch()],
            )
        return self._client

    async def open(self, proof: Proof) -> None:
        """Open the run. Raises `GrantRefused`, or `StoreUnavailable` when the server cannot be reached."""
        terms = {"workflow": proof.workflow, "attended": "true"}
        if proof.direct_models:
            terms["direct_models"] = "true"
        await self._take(proof.kind, proof.subject, **terms)

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Renew the token at half its life until it cannot be renewed any more; `tell` hears why."""
        clock = self._runtime.clock
        while not self.lost:
            await self._runtime.scheduler.sleep(self._life / 2 if clock.monotonic() < self._half() else 2)
            try:
                await self._take(RUN_TOKEN, self.token)
            except GrantRefused as refused:
                self.lost = refused.message
                tell(f"The run token is not renewed: {refused.message}")
            except StoreUnavailable as error:
                if clock.monotonic() >= self._expires:
                    self.lost = error.message
                tell(f"The run token could not be renewed yet: {error.message}")

    async def end(
        self, reason: str, *, keep_waiting: bool = False, ungoverned: bool = False, failed: bool = False
    ) -> Left:
        """End the run, or leave it open while a call waits; say what was cancelled, or waits on.

        `ungoverned` goes into the run's record: its program went past the gateway. What a run did that
        `failed` is undone where its workflow says so. A server that cannot be reached ends it by itself when
        the token runs out.
        """
        told: dict[str, Any] = {}
        if self.token:
            said = {"keep_waiting": keep_waiting, "ungoverned": ungoverned, "failed": failed}
            form = end_form(self.token, reason, **said)
            try:
                told = await self._post("/oauth/revoke", form)
            except InterlockError:
                self.lost = self.lost or "the end of the run was not confirmed"
        if self._client is not None:
            await self._client.close()
        return Left(cancelled=told.get("cancelled", []), waiting=told.get("waiting", []))

    def _watch(self) -> aiohttp.TraceConfig:
        """Notice the first request that is not one of the launcher's own."""
        import aiohttp

        async def started(_session: object, _context: object, sent: aiohttp.TraceRequestStartParams) -> None:
            self.reached = self.reached or not sent.url.path.startswith("/oauth/")

        watch = aiohttp.TraceConfig()
        watch.on_request_start.append(started)
        return watch

    def _half(self) -> float:
        return self._expires - self._life / 2

    async def _take(self, kind: str, subject: str, **fields: str) -> None:
        given = await self._post("/oauth/token", exchange_form(kind, subject, self._life, **fields))
        self.token, self.run, self.workflow = given["access_token"], given["run"], given["workflow"]
        self._expires = self._runtime.clock.monotonic() + given["expires_in"]

    async def _post(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        import aiohttp

        url, timeout = self._place.base_url + path, aiohttp.ClientTimeout(total=_TIMEOUT)
        try:
            async with self.client.post(url, data=form, timeout=timeout) as answer:
                body = json.loads(await answer.read() or b"{}")
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise unreachable(error) from error
        return granted(status, body)
