"""The loopback forwarder of `interlock run`: MCP and model clients talk to it, it adds the run's token.

It listens on a free port of 127.0.0.1 under a path nobody can guess, so other users of the machine cannot
borrow the run. Bytes pass through both ways as they come; nothing is buffered, decoded or kept.
"""

from __future__ import annotations

import hmac
import re
import secrets

import aiohttp
from aiohttp import web
from yarl import URL

from interlock.cli.session import RunSession
from interlock.sdk.endpoint import Endpoint

_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS = _HOP | {"host", "authorization", "cookie", "forwarded", "x-api-key", "x-forwarded-for"}
_MODELS = frozenset({"openai", "anthropic"})
_MODEL_PATH = re.compile(r"/v1(/[A-Za-z0-9][A-Za-z0-9._:@-]*)+")
_RUN_PATH = re.compile(r"/api/v1/(actions(/\w+/outcome)?|functions/[\w-]+/(take|calls/\w+/(start|finish)))")
_LATER = {"otlp": "OpenTelemetry traces"}


class Forwarder:
    """Forwards one run's requests. `urls` is what the agent's environment is given."""

    def __init__(self, place: Endpoint, session: RunSession) -> None:
        self._place = place
        self._session = session
        self._secret = secrets.token_urlsafe(24)
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("*", "/{secret}/{surface:[a-z]+}{rest:.*}", self._handle)
        self._runner = web.AppRunner(
            app, auto_decompress=False, handler_cancellation=True, access_log=None, shutdown_timeout=1.0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and drop what is open."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def urls(self) -> dict[str, str]:
        """The environment of the agent: loopback addresses, and no secret of ours in it."""
        return {
            "INTERLOCK_MCP_URL": f"{self._base}/mcp",
            "INTERLOCK_RUN_URL": f"{self._base}/run",
            "MCP_SERVER_URL": f"{self._base}/mcp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{self._base}/otlp",
        }

    @property
    def model_urls(self) -> dict[str, str]:
        """Where the program's model calls go, unless they are left to it."""
        return {"OPENAI_BASE_URL": f"{self._base}/openai/v1", "ANTHROPIC_BASE_URL": f"{self._base}/anthropic"}

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self._port}/{self._secret}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not hmac.compare_digest(request.match_info["secret"].encode(), self._secret.encode()):
            raise web.HTTPNotFound
        surface, rest = request.match_info["surface"], request.match_info["rest"]
        if surface in _LATER:
            return _not_yet(_LATER[surface])
        path = _path(surface, rest)
        if path is None:
            raise web.HTTPNotFound
        try:
            return await self._forward(request, path)
        except aiohttp.ClientError as error:
            return _error(
                502, "upstream_unavailable", f"Interlock cannot be reached: {type(error).__name__}."
            )

    async def _forward(self, request: web.Request, path: str) -> web.StreamResponse:
        said = request.rel_url.raw_query_string
        query = f"?{said}" if said else ""
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _OURS]
        headers.append(("Authorization", f"Bearer {self._session.token}"))
        async with self._session.client.request(
            request.method,
            URL(f"{self._place.base_url}{path}{query}", encoded=True),
            headers=headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP]
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            response.headers.extend(kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def _path(surface: str, rest: str) -> str | None:
    """Return where on the server a surface goes; nothing else of it can be reached from here."""
    if surface == "mcp" and rest in ("", "/"):
        return "/mcp"
    if surface == "run":
        return rest if _RUN_PATH.fullmatch(rest) else None
    return rest if surface in _MODELS and _MODEL_PATH.fullmatch(rest) else None


def _not_yet(what: str) -> web.Response:
    return _error(501, "not_implemented", f"{what} are not governed by this version of Interlock yet.")


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response(
        {"error": {"code": code, "message": message, "hint": "interlock doctor"}}, status=status
    )
