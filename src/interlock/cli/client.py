"""The client of the API that commands use: it presents the caller's token and raises our errors."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from interlock import errors
from interlock.sdk.endpoint import raise_for_error, stored_token
from interlock.sdk.local import endpoint
from interlock.settings import Settings, load

if TYPE_CHECKING:
    import httpx2

_CONNECT, _READ = 30.0, 120.0


def segment(name: str) -> str:
    """Return a name as one part of a path: the name of a tool may hold what a path would read otherwise."""
    return quote(name, safe=":")


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
