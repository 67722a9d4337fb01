"""When a static credential is still good, should be replaced, or must not be used any more (H2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from interlock.core.document.provider import Provider
from interlock.core.document.tool import ToolServer
from interlock.core.model import DAY, HOUR

WARN_AHEAD = 14 * DAY


class CredentialState(StrEnum):
    """What to do about a credential's end."""

    GOOD = "good"
    EXPIRING = "expiring"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Where a credential stands, and how many microseconds it has left; None where it has no end."""

    state: CredentialState
    left: int | None

    @property
    def usable(self) -> bool:
        """Whether it may be used now."""
        return self.state is not CredentialState.EXPIRED


def validity(expires_at: int | None, *, now: int, warn_ahead: int = WARN_AHEAD) -> Validity:
    """Return where a credential that ends at `expires_at` stands at `now`; both in microseconds."""
    if expires_at is None:
        return Validity(state=CredentialState.GOOD, left=None)
    left = expires_at - now
    if left <= 0:
        return Validity(state=CredentialState.EXPIRED, left=0)
    return Validity(state=CredentialState.EXPIRING if left <= warn_ahead else CredentialState.GOOD, left=left)


def warning(name: str, owner: str | None, found: Validity) -> str | None:
    """Return the sentence that tells the owner what to do, or None while all is well."""
    whose = f" Its owner is {owner}." if owner else " It has no owner."
    if found.state is CredentialState.EXPIRED:
        return f"The credentials of {name} have expired and are refused.{whose}"
    if found.state is CredentialState.EXPIRING and found.left is not None:
        return f"The credentials of {name} expire in {_span(found.left)}.{whose}"
    return None


def refusal(holder: ToolServer | Provider, now: int) -> str | None:
    """Return why the static credentials of a tool server or provider must not be used at `now`, or None."""
    credentials = holder.credentials
    found = validity(credentials.expires, now=now)
    return None if found.usable else warning(called(holder), credentials.owner, found)


def called(holder: ToolServer | Provider) -> str:
    """Return how a sentence names whose credentials they are."""
    return f"the {'tool server' if isinstance(holder, ToolServer) else 'model provider'} {holder.name}"


def _span(left: int) -> str:
    if left >= 2 * DAY:
        return f"{left // DAY} days"
    return f"{max(1, left // HOUR)} hours"
