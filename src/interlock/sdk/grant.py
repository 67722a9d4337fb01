"""The token of a program's run: lasts two minutes, renewed at half of that, given up at the run's end.

A program that `interlock run` started has no token: its launcher holds it, behind a loopback address.
"""

from __future__ import annotations

import logging
from typing import Any

import httpx2

from interlock.errors import GrantRefused, StoreUnavailable
from interlock.runtime import Clock
from interlock.sdk.proof import Proof

log = logging.getLogger(__name__)

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
RUN_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
LIFE = 120


def exchange_form(kind: str, subject: str, life: int, **terms: str) -> dict[str, str]:
    """Return the form that exchanges a proof, or the token that a run has, for a token of `life` seconds."""
    form = {"grant_type": GRANT, "subject_token_type": kind, "subject_token": subject}
    return {**form, **terms, "expires_in": str(life)}


def end_form(token: str, reason: str, **said: bool) -> dict[str, str]:
    """Return the form that ends the run of a token; `said` is what is known of how it went."""
    return {"token": token, "reason": reason} | {name: str(value).lower() for name, value in said.items()}


def granted(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """Return what the token endpoint gave. Raises `GrantRefused`, `StoreUnavailable`."""
    if status >= 500:
        raise StoreUnavailable(f"The server answered {status}.", hint="interlock doctor")
    if status >= 400:
        raise GrantRefused(str(body.get("error_description")), oauth=str(body.get("error")))
    return body


def unreachable(error: Exception) -> StoreUnavailable:
    """Return what it means that the token endpoint gave no answer that can be read."""
    return StoreUnavailable(f"The server cannot be reached: {error}.", hint="interlock doctor")


class RunGrant:
    """The newest token of one run. `client` has no credential of its own."""

    def __init__(self, client: httpx2.AsyncClient, clock: Clock, *, life: int = LIFE) -> None:
        self.run = ""
        self.workflow = ""
        self.token = ""
        self._client = client
        self._clock = clock
        self._life = life
        self._renew_at = 0.0

    async def open(self, proof: Proof) -> None:
        """Open the run, or go back into it. Raises `GrantRefused`, `StoreUnavailable`."""
        terms = {"workflow": proof.workflow, **({"run": proof.run} if proof.run else {})}
        await self._take(proof.kind, proof.subject, **terms)

    @property
    def due_in(self) -> float:
        """Seconds until the token is to be renewed."""
        return max(self._renew_at - self._clock.monotonic(), 0.0)

    async def renew(self) -> None:
        """Renew the token. Raises as `open` does."""
        await self._take(RUN_TOKEN, self.token)

    async def give_up(self, reason: str, *, keep_waiting: bool, failed: bool) -> None:
        """End the run, or leave it open while a call of it waits; unreachable, it lapses by itself.

        `failed`: what it did is undone, where its workflow says so.
        """
        form = end_form(self.token, reason, keep_waiting=keep_waiting, failed=failed)
        try:
            await self._post("/oauth/revoke", form)
        except (GrantRefused, StoreUnavailable) as error:
            log.warning("the end of the run %s was not confirmed: %s", self.run, error.message)

    async def _take(self, kind: str, subject: str, **fields: str) -> None:
        given = await self._post("/oauth/token", exchange_form(kind, subject, self._life, **fields))
        self.token, self.run, self.workflow = given["access_token"], given["run"], given["workflow"]
        self._renew_at = self._clock.monotonic() + given["expires_in"] / 2

    async def _post(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        try:
            answer = await self._client.post(path, data=form)
            body: dict[str, Any] = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise unreachable(error) from error
        return granted(answer.status_code, body)
