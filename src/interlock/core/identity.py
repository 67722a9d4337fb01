"""Whether a verified token still counts, and how authority narrows on its way down (H1, H2, H5).

The signature was checked where the token came in. What remains are plain facts: is it expired or
revoked, is it of this environment. Narrowing is intersection and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.core.model import Gate, Principal, Reason, Verdict

RUN_REVOKED = "run_revoked"
"""The code of a token whose run was ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """What no longer counts. `agents` maps an agent to the lowest epoch that is still good."""

    agents: Mapping[str, int] = field(default_factory=dict[str, int])
    runs: frozenset[str] = frozenset()
    tokens: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


def check_principal(
    principal: Principal, revoked: Revocations, *, environment: str, now: int
) -> Reason | None:
    """Return why the caller does not count at `now` (microseconds) in `environment`, or None."""
    return check_token(principal, revoked, now) or check_environment(principal, environment)


def check_token(principal: Principal, revoked: Revocations, now: int) -> Reason | None:
    """Return why the token itself no longer counts, or None."""
    if now >= principal.expires_at:
        return _EXPIRED
    if principal.token_id in revoked.tokens:
        return _TOKEN_REVOKED
    if principal.run in revoked.runs:
        return _RUN_REVOKED
    if principal.epoch < revoked.agents.get(principal.agent, 0):
        return _AGENT_REVOKED
    if principal.key_id in revoked.keys:
        return _KEY_REVOKED
    return None


def check_environment(principal: Principal, environment: str) -> Reason | None:
    """Return why the token belongs elsewhere, or None (invariant 10)."""
    if principal.environment == environment:
        return None
    return Reason(
        gate=Gate.ENVIRONMENT,
        code="environment_mismatch",
        message=f"The token is of the environment {principal.environment}; this is {environment}.",
        verdict=Verdict.DENY,
    )


def narrow(parent: frozenset[str] | None, requested: frozenset[str] | None) -> frozenset[str] | None:
    """Return what a child may have: the intersection. None stands for "all that the workflow has" (A3)."""
    if parent is None:
        return requested
    if requested is None:
        return parent
    return parent & requested


def _refusal(code: str, message: str) -> Reason:
    return Reason(gate=Gate.TOKEN, code=code, message=message, verdict=Verdict.DENY)


_EXPIRED = _refusal("token_expired", "The run token has expired; ask for a fresh one.")
_TOKEN_REVOKED = _refusal("token_revoked", "The run token was revoked.")
_RUN_REVOKED = _refusal(RUN_REVOKED, "The run was ended; its tokens no longer count.")
_AGENT_REVOKED = _refusal("agent_revoked", "The agent was suspended or retired after this token was issued.")
_KEY_REVOKED = _refusal("key_revoked", "The key that signed the token was revoked.")
