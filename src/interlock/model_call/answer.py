"""What a caller of a model gets beside the model's own words: why there is none, and what the call came to.

These are values; each protocol edge gives them its own form.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Protocol
from urllib.parse import quote, urlencode

from interlock.core.budget import AccountKey, Refused, ScopeKind
from interlock.core.model import Decision, Json, value
from interlock.core.model_route import Route
from interlock.core.price_book import Unpriced
from interlock.core.window import FOREVER
from interlock.errors import StoreError, UpstreamError, UpstreamUnavailable
from interlock.upstream.llm.transport import RawHeaders

COME_AGAIN = 2
"""Seconds after which a call that found no room is told to try again."""


class Why(StrEnum):
    """Why a call gets no answer from a model; each protocol edge has its own form of it."""

    FORBIDDEN = "forbidden"
    UNKNOWN_MODEL = "unknown_model"
    HALTED = "halted"
    BUSY = "busy"
    UNRECORDED = "unrecorded"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"


@value
class Place:
    """Where a person sees what a refusal is about and decides: a path of the API, and a command like it."""

    path: str
    command: str


@value
class Refusal:
    """A call that no model answered. `retry_after` is in seconds, None where asking again is idle.

    `decided_at` is where a person can change it, None where no decision would.
    """

    why: Why
    code: str
    message: str
    retry_after: int | None = None
    details: Mapping[str, Json] = field(default_factory=dict[str, Json])
    decided_at: Place | None = None


@value
class Told:
    """What the caller is told beside the answer. `cost` is nano-dollars, None while not known; `used`
    is per mille of the limit of `scope`, the budget most used up.
    """

    call: str
    run: str
    requested: str
    served: str = ""
    cost: int | None = None
    scope: str = ""
    state: str = ""
    used: int = 0
    degraded: tuple[str, ...] = ()
    context: int = 0


class Caller(Protocol):
    """The way back to the agent: its own wire, whole answers or streams."""

    async def answer(self, status: int, headers: RawHeaders, told: Told, body: bytes) -> None:
        """Send a whole answer."""
        ...

    async def begin(self, status: int, headers: RawHeaders, told: Told) -> None:
        """Send the head of a stream."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a piece of the stream."""
        ...

    async def end(self, broken: UpstreamError | None = None, *, told: Told | None = None) -> None:
        """End the stream; `broken` says that the provider did not, `told` what is known only now."""
        ...


_UNKNOWN = frozenset({"unknown_model", "model_of_another_format"})


def halted(kill: str, message: str = "This call was stopped by a kill; two people resume it.") -> Refusal:
    """Say that a kill stopped a call; an empty `kill` is one that is not known by its id."""
    place = (
        Place(path=f"/api/v1/kills/{kill}", command=f"interlock kill show {kill}")
        if kill
        else Place(path="/api/v1/kills", command="interlock kill list")
    )
    return Refusal(why=Why.HALTED, code="run_halted", message=message, decided_at=place)


_BREAKERS = Place(path="/api/v1/breakers", command="interlock breaker list")


def refused(decision: Decision, *, kill: str) -> Refusal:
    """Put a denial into the words of the edges; `kill` is the one that reaches the call, if one does."""
    reason = decision.reason
    near = "".join(f" Did you mean {miss.expected}?" for miss in reason.near_misses)
    if reason.code == "killed":
        return halted(kill, reason.message)
    if reason.code == "breaker_open":
        return Refusal(why=Why.HALTED, code=reason.code, message=reason.message, decided_at=_BREAKERS)
    why = Why.UNKNOWN_MODEL if reason.code in _UNKNOWN else Why.FORBIDDEN
    return Refusal(why=why, code=reason.code, message=reason.message + near)


def unpaid(said: Refused | Unpriced) -> Refusal:
    """Say that there is no money for a call, or no price."""
    if isinstance(said, Unpriced):
        message = f"{said.message} {said.hint}"
        return Refusal(why=Why.FORBIDDEN, code=said.code, message=message)
    details = {
        "scope": said.scope,
        "limit_nano_usd": said.limit,
        "spent_nano_usd": said.spent,
        "held_nano_usd": said.held,
        "resets_at_us": None if said.resets_at == FOREVER else said.resets_at,
    }
    why, again = (Why.BUSY, COME_AGAIN) if said.transient else (Why.HALTED, None)
    return Refusal(
        why=why,
        code=said.code,
        message=said.message,
        retry_after=again,
        details=details,
        decided_at=_shown(said.key),
    )


def _shown(key: AccountKey) -> Place:
    """Return where a budget is shown: a run's with its calls, another with what is left of its window."""
    kind, name = key.kind.value, key.name
    if key.kind is ScopeKind.RUN:
        return Place(path=f"/api/v1/budgets/runs/{quote(name)}", command=f"interlock budget explain {name}")
    return Place(
        path=f"/api/v1/budgets?{urlencode({'kind': kind, 'name': name})}",
        command=f"interlock budget show --kind {kind} --name {shlex.quote(name)}",
    )


def busy(route: Route) -> Refusal:
    """Say that the provider has its limit of calls under way; transient."""
    message = f"The provider {route.provider.name} has as many calls under way as its document allows."
    return Refusal(why=Why.BUSY, code="provider_busy", message=message, retry_after=COME_AGAIN)


def lost(error: UpstreamError) -> Refusal:
    """Say that the provider was not reached, or did not answer whole."""
    unsent = isinstance(error, UpstreamUnavailable)
    why = Why.UNREACHABLE if unsent else Why.TIMED_OUT
    return Refusal(why=why, code=error.code, message=f"{error.message} {error.hint}".strip())


def unrecorded(error: StoreError) -> Refusal:
    """Say that nothing was sent, because it could not be put on record."""
    message = f"The call was not sent, because it cannot be recorded now: {error.message}"
    return Refusal(why=Why.UNRECORDED, code=error.code, message=message)
