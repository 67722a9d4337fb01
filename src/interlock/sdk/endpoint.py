"""Where the API is and what its error answers mean: all that a client of the API needs to know of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from interlock import errors
from interlock.settings import Settings

if TYPE_CHECKING:
    import httpx2

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
