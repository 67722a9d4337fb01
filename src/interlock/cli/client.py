"""How a command reaches the API: a server by URL, the data directory's own server, or one started here.

A command never opens the store beside a running server: where the data directory is served, it talks to
the local socket; where it is not, the command serves it itself for as long as it runs, under the same
exclusive lock. So every command works the same with and without a server. Only a command that may begin
something makes a data directory; every other says that there is none.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from interlock import errors
from interlock.settings import Settings, load

if TYPE_CHECKING:
    import httpx2

_TRIES = 40
_PAUSE = 0.25
_CONNECT, _READ = 30.0, 120.0
_KINDS: dict[str, type[errors.InterlockError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.InterlockError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the API is: a base URL, and the Unix socket to reach it by where it is local.

    Nothing is encrypted on the socket, so no certificates are loaded for it, which takes long.
    """

    base_url: str
    socket: Path | None = None

    def transport(self) -> httpx2.HTTPTransport:
        """Return a transport of the HTTP client to this endpoint."""
        import httpx2

        if self.socket is None:
            return httpx2.HTTPTransport()
        return httpx2.HTTPTransport(uds=str(self.socket), verify=False)

    def async_transport(self) -> httpx2.AsyncHTTPTransport:
        """Return a transport of the asynchronous HTTP client to this endpoint."""
        import httpx2

        if self.socket is None:
            return httpx2.AsyncHTTPTransport()
        return httpx2.AsyncHTTPTransport(uds=str(self.socket), verify=False)


@contextmanager
def endpoint(
    settings: Settings | None = None, *, shared: bool = True, creates: bool = False
) -> Generator[Endpoint]:
    """Yield where the API can be reached, serving the data directory here if nobody does.

    A command that takes a while shares what it serves with the others; one that ends at once does not, so
    that nobody leans on a server that is about to go. Raises `UsageError` where there is no data directory
    and the command does not make one (`creates`), `StoreUnavailable` where nothing answers.
    """
    import httpx2

    known = settings or load()
    if not (known.url or creates):
        require_data(known)
    with ExitStack() as stack:
        try:
            yield _place(known, stack, shared=shared)
        except httpx2.InvalidURL as error:
            raise errors.UsageError(f"INTERLOCK_URL is not a URL: {error}.") from error
        except httpx2.TransportError as error:
            raise errors.StoreUnavailable(
                f"Interlock cannot be reached at {known.url or known.socket}: {error}.",
                hint="Is the server running? Try: interlock doctor",
            ) from error


def _place(settings: Settings, stack: ExitStack, *, shared: bool) -> Endpoint:
    if settings.url:
        return Endpoint(base_url=settings.url.rstrip("/"))
    place = settings.socket if shared else settings.socket.with_name(f"c{os.getpid()}.sock")
    return Endpoint(base_url="http://interlock", socket=_served(settings, place, stack, shared))


def require_data(settings: Settings) -> None:
    """Refuse where nothing was ever kept. A database elsewhere is no exception: its keys are not in it."""
    if settings.data.is_dir() and any(settings.data.iterdir()):
        return
    hint = (
        "The keys of the database that INTERLOCK_DATABASE names are in the data directory it is served from: "
        "INTERLOCK_DATA names it, INTERLOCK_URL a running server. interlock apply begins a new one."
        if settings.database
        else "Begin with interlock init and interlock apply, or go where it is: INTERLOCK_DATA names the "
        "data directory, INTERLOCK_URL a running server."
    )
    raise errors.UsageError(
        f"There is no data directory here: {settings.data.absolute()} does not exist or is empty.", hint=hint
    )


def _served(settings: Settings, place: Path, stack: ExitStack, shared: bool) -> Path:
    """Return the socket of the data directory's server, or serve it here at `place`.

    A process that has the directory and does not answer is starting or ending: it is waited for.
    """
    for left in reversed(range(_TRIES)):
        if _answers(settings.socket):
            break
        try:
            from interlock.app.serve import serve_here
        except ModuleNotFoundError as missing:
            raise errors.UsageError(
                f"No server answers at {settings.socket}, and this installation cannot serve: "
                f"no {missing.name}.",
                hint="Install interlock[server], or set INTERLOCK_URL to a running server.",
            ) from missing
        try:
            stack.enter_context(serve_here(settings, place, agents=shared))
            return place
        except errors.StoreInUse:
            if not left:
                raise
            time.sleep(_PAUSE)
    return settings.socket


@contextmanager
def api(settings: Settings | None = None, *, creates: bool = False) -> Generator[httpx2.Client]:
    """Yield a client of the API that presents the caller's token and raises our errors.

    Raises the `InterlockError` that the server names; `StoreError` where nothing answers; `UsageError` where
    there is no data directory and the command does not make one (`creates`).
    """
    import httpx2

    known = settings or load()
    with endpoint(known, shared=False, creates=creates) as place:
        token = known.token or stored_token(known)
        if not token.isascii():
            raise errors.UsageError(
                "INTERLOCK_TOKEN is not a personal API token.", hint="interlock token login"
            )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx2.Client(
            base_url=place.base_url,
            transport=place.transport(),
            headers=headers,
            timeout=httpx2.Timeout(_CONNECT, read=_READ),
            event_hooks={"response": [raise_for_error]},
        ) as client:
            yield client


def stored_token(settings: Settings) -> str:
    """Return the token that the first `apply` left in the data directory, or ""."""
    try:
        stored = json.loads((settings.data / "credentials.json").read_text())
    except (OSError, ValueError):
        return ""
    return str(stored.get("token", ""))


def raise_for_error(response: httpx2.Response) -> None:
    """Turn an error answer into the error it names."""
    if response.is_success or response.status_code == 202:
        return
    response.read()
    said = _error_of(response)
    kind = _KINDS.get(str(said.get("code")), errors.InterlockError)
    message = str(said.get("message") or f"The server answered {response.status_code}.")
    hint = str(said.get("hint") or "")
    if kind is errors.ManifestError:
        raise errors.ManifestError(message, problems=tuple(said.get("problems", ())), hint=hint)
    raise kind(message, hint=hint)


def _error_of(response: httpx2.Response) -> Mapping[str, Any]:
    """Return what the answer says of itself: our own form, or OAuth's (RFC 6749 5.2)."""
    try:
        body: Any = response.json()
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    said = cast("dict[str, Any]", body)
    error = said.get("error")
    if isinstance(error, dict):
        return cast("dict[str, Any]", error)
    return {"code": error, "message": said.get("error_description")}


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
