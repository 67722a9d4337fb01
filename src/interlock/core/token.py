"""What a run token says, and must say to be believed (H1, H2): RFC 9068 claims to a `Principal` and back.

Signatures are not checked here; this is everything after them. Each wall of invariant 10 that lives in the
claims is a separate check: issuer, audience and, in the decision itself, the environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from interlock.core.model import MINUTE, SECOND, Json, Principal

TYPE = "at+jwt"
MAX_LIFE = 10 * MINUTE
SKEW = 30 * SECOND
MAX_LENGTH = 16_384
MAX_ACTORS = 8
DETAIL = "interlock_tools"
_MAX_LISTED = 6_000
_TEXTS = ("iss", "sub", "client_id", "jti", "env", "wf", "run", "own")
_NUMBERS = ("iat", "exp", "wfv", "epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a credential is not believed: a stable code and a sentence that holds no part of the credential."""

    code: str
    message: str
    hint: str = ""


def claims_of(principal: Principal, *, issuer: str, issued_at: int, tools: Iterable[str]) -> dict[str, Json]:
    """Return the claims of a run token for `principal`; `tools` is its workflow's whole scope.

    A narrowed principal names its own tools. A whole scope too long for a header is not listed; the
    workflow version names it.
    """
    listed = sorted(tools if principal.scope is None else principal.scope)
    detail: dict[str, Json] = {
        "type": DETAIL,
        "workflow": f"{principal.workflow}@{principal.workflow_version}",
        "whole": principal.scope is None,
    }
    if principal.scope is not None or sum(map(len, listed)) <= _MAX_LISTED:
        detail["tools"] = listed
    claims: dict[str, Json] = {
        "iss": issuer,
        "aud": issuer,
        "sub": principal.agent,
        "client_id": principal.agent,
        "jti": principal.token_id,
        "iat": issued_at // SECOND,
        "exp": principal.expires_at // SECOND,
        "env": principal.environment,
        "wf": principal.workflow,
        "wfv": principal.workflow_version,
        "run": principal.run,
        "own": principal.owner,
        "epoch": principal.epoch,
        "authorization_details": [detail],
    }
    if principal.actors:
        claims["act"] = _nested(principal.actors)
    return claims


def read_claims(
    claims: Mapping[str, Json], *, key_id: str, issuer: str, audience: str, now: int
) -> Principal | Refused:
    """Return who the claims of a token with a good signature name, or why they are not believed."""
    if (malformed := _malformed(claims)) is not None:
        return Refused(code="malformed", message=f"The token's claim {malformed!r} is missing or malformed.")
    if claims["iss"] != issuer:
        return Refused(code="foreign_issuer", message="The token was issued for another environment.")
    if claims["aud"] not in (audience, [audience]):
        return Refused(code="foreign_audience", message="The token is meant for another gateway.")
    if (untimely := _untimely(claims, now)) is not None:
        return untimely
    scope = _scope(claims["authorization_details"])
    actors = _actors(claims.get("act"))
    if isinstance(scope, Refused) or actors is None:
        return Refused(code="malformed", message="The token's scope or actors cannot be read.")
    return Principal(
        agent=claims["sub"],
        owner=claims["own"],
        workflow=claims["wf"],
        workflow_version=claims["wfv"],
        run=claims["run"],
        environment=claims["env"],
        token_id=claims["jti"],
        key_id=key_id,
        epoch=claims["epoch"],
        expires_at=claims["exp"] * SECOND,
        scope=scope,
        actors=actors,
    )


def expiry(now: int, *, life: int, deadline: int | None) -> int:
    """Return when a token made `now` ends: after `life`, never past 10 minutes or the run's deadline."""
    end = now + min(max(life, SECOND), MAX_LIFE)
    return end if deadline is None else min(end, deadline)


def _malformed(claims: Mapping[str, Json]) -> str | None:
    for name in _TEXTS:
        if not isinstance(claims.get(name), str) or not claims[name]:
            return name
    for name in _NUMBERS:
        value = claims.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
            return name
    if claims["sub"] != claims["client_id"]:
        return "client_id"
    return None


def _untimely(claims: Mapping[str, Json], now: int) -> Refused | None:
    issued, ends = claims["iat"] * SECOND, claims["exp"] * SECOND
    if now >= ends:
        return Refused(
            code="expired",
            message="The run token has expired.",
            hint="Exchange it for a new one while the run is open.",
        )
    if now < issued - SKEW:
        return Refused(code="not_yet_valid", message="The token is not valid yet: compare the clocks.")
    if ends - issued > MAX_LIFE:
        return Refused(code="too_long", message="The token claims a longer life than a run token may have.")
    return None


def _scope(details: Json) -> frozenset[str] | Refused | None:
    refused = Refused(code="malformed", message="")
    if not isinstance(details, list) or len(cast("list[Json]", details)) != 1:
        return refused
    detail = cast("list[Json]", details)[0]
    if not isinstance(detail, dict) or cast("dict[str, Json]", detail).get("type") != DETAIL:
        return refused
    said = cast("dict[str, Json]", detail)
    if said.get("whole") is True:
        return None
    tools = said.get("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, str) for tool in cast("list[Json]", tools)):
        return refused
    return frozenset(cast("list[str]", tools))


def _nested(actors: tuple[str, ...]) -> dict[str, Json]:
    chain: dict[str, Json] = {}
    for actor in reversed(actors):
        chain = {"sub": actor, **({"act": chain} if chain else {})}
    return chain


def _actors(act: Json) -> tuple[str, ...] | None:
    """Return the chain of actors, the current one first; None if it cannot be read."""
    chain: list[str] = []
    while act is not None:
        if not isinstance(act, dict) or len(chain) == MAX_ACTORS:
            return None
        said = cast("dict[str, Json]", act)
        subject = said.get("sub")
        if not isinstance(subject, str) or not subject:
            return None
        chain.append(subject)
        act = said.get("act")
    return tuple(chain)
