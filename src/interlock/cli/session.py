"""The launcher's side of a run: open it with a code or a key, keep its token fresh, end it (H2).

The token lives in this process alone. It is asked for two minutes at a time and renewed at half of that,
so the server notices within minutes when the launcher dies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.cli.client import Endpoint
from interlock.errors import GrantRefused, InterlockError, StoreUnavailable, UsageError
from interlock.runtime import Runtime

if TYPE_CHECKING:
    import aiohttp

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
CODE = "urn:interlock:token-type:enrolment-code"
ASSERTION = "urn:ietf:params:oauth:token-type:jwt"
RUN_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
LIFE = 120
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What opens the run: a one-time code, or an assertion signed with the agent's key."""

    kind: str
    subject: str
    workflow: str
    direct_models: bool = False


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

    async def end(self, reason: str, *, keep_waiting: bool = False, ungoverned: bool = False) -> Left:
        """End the run, or leave it open while a call waits; say what was cancelled, or waits on.

        `ungoverned` goes into the run's record: its program went past the gateway. A server that cannot be
        reached ends it by itself when the token runs out.
        """
        told: dict[str, Any] = {}
        if self.token:
            form = {
                "token": self.token,
                "reason": reason,
                "keep_waiting": str(keep_waiting).lower(),
                "ungoverned": str(ungoverned).lower(),
            }
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
        form = {"grant_type": GRANT, "subject_token_type": kind, "subject_token": subject}
        given = await self._post("/oauth/token", {**form, **fields, "expires_in": str(self._life)})
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
            raise StoreUnavailable(
                f"The server cannot be reached: {error}.", hint="interlock doctor"
            ) from error
        if status >= 500:
            raise StoreUnavailable(f"The server answered {status}.", hint="interlock doctor")
        if status >= 400:
            raise GrantRefused(str(body.get("error_description")), oauth=str(body.get("error")))
        return body


def assertion(key_file: Path, *, agent: str, audience: str, token_id: str) -> str:
    """Return an assertion for one use, signed with the private key in `key_file` (JWK or PEM).

    Raises `UsageError` when the file cannot be read, is readable by others, or names no agent.
    """
    from joserfc import jws

    key, named = read_agent_key(key_file)
    name = agent or named
    if not name:
        raise UsageError(f"{key_file} does not say which agent's key it is.", hint="Name it with --agent.")
    now = Runtime.real().clock.now() // 1_000_000
    claims = {"iss": name, "sub": name, "aud": audience, "jti": token_id, "iat": now, "exp": now + 60}
    return jws.serialize_compact({"alg": "ES256", "typ": "JWT"}, json.dumps(claims), key, ["ES256"])


def read_agent_key(path: Path) -> tuple[Any, str]:
    """Return the private key in a file and the agent it names ("" if none). Raises `UsageError`."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"Others can read the private key {path}.", hint=f"chmod 600 {path}")
        text = path.read_text()
        if text.lstrip().startswith("{"):
            found = json.loads(text)
            named = str(found.pop("agent", ""))
            key = ECKey.import_key(found)
        else:
            key, named = ECKey.import_key(text), ""
    except (OSError, ValueError, JoseError) as error:
        raise UsageError(f"The private key {path} cannot be read: {error}.") from error
    if not key.is_private or key.curve_name != "P-256":
        raise UsageError(
            f"{path} does not hold a private P-256 key.", hint="interlock agents enroll --new-key"
        )
    return key, named


def write_new_key(path: Path, agent: str) -> dict[str, Any]:
    """Make a key of `agent`, keep it in `path` for this account alone, return the public half as a JWK.

    Raises `UsageError` when the file exists or cannot be written.
    """
    from joserfc.jwk import ECKey

    key = ECKey.generate_key("P-256", private=True)
    kept = {"agent": agent, **key.as_dict(private=True), "kid": key.thumbprint(), "alg": "ES256"}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"The key cannot be written to {path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file)
    return dict(key.as_dict(private=False))


def read_public_key(path: Path) -> dict[str, Any]:
    """Return the public key in a file (JWK or PEM) as a JWK. Raises `UsageError`."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    try:
        text = path.read_text()
        if text.lstrip().startswith("{"):
            found: dict[str, Any] = json.loads(text)
            return {name: value for name, value in found.items() if name != "agent"}
        return dict(ECKey.import_key(text).as_dict(private=False))
    except (OSError, ValueError, JoseError) as error:
        raise UsageError(f"The key {path} cannot be read: {error}.") from error
