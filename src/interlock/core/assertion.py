"""What an agent's own signed assertion (RFC 7523) must say once its signature holds (H2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.core.model import MINUTE, SECOND, Json
from interlock.core.token import SKEW, Refused

MAX_AHEAD = 5 * MINUTE
_LONGEST_ID = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """An agent says that it is calling, once: `jti` may be used until `expires_at` and never twice."""

    agent: str
    jti: str
    expires_at: int


def claimed_agent(claims: Mapping[str, Json]) -> str | None:
    """Return the agent that unverified claims name, to find its keys by; None if they name none."""
    subject = claims.get("sub")
    return subject if isinstance(subject, str) and subject and claims.get("iss") == subject else None


def read_assertion(claims: Mapping[str, Json], *, audience: str, now: int) -> Assertion | Refused:
    """Return the assertion, or why it is not believed. The agent's clock may be 30 seconds off."""
    agent = claimed_agent(claims)
    if agent is None:
        return Refused(code="malformed", message="The assertion's iss and sub must both be the agent's name.")
    said = claims.get("aud")
    if said != audience and said != [audience]:
        return Refused(
            code="foreign_audience",
            message="The assertion is meant for another environment.",
            hint=f"Its aud must be {audience}.",
        )
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_ID:
        return Refused(code="malformed", message="The assertion needs a jti of at most 128 characters.")
    ends, issued = _whole(claims.get("exp")), _whole(claims.get("iat", 0))
    if ends is None or issued is None:
        return Refused(code="malformed", message="The assertion's exp and iat must be whole seconds.")
    if now >= ends * SECOND + SKEW:
        return Refused(
            code="expired", message="The assertion has expired.", hint="Sign a new one; compare the clocks."
        )
    if ends * SECOND > now + MAX_AHEAD + SKEW:
        return Refused(code="too_long", message="The assertion may last at most 5 minutes.")
    if issued * SECOND > now + SKEW:
        return Refused(code="not_yet_valid", message="The assertion is from the future: compare the clocks.")
    return Assertion(agent=agent, jti=jti, expires_at=ends * SECOND + SKEW)


def _whole(value: Json) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53
    return value if whole else None
