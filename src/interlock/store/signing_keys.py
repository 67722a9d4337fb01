"""One signing key of an environment: what it may do, and when (H2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from joserfc.jwk import ECKey

from interlock.core.model import Json
from interlock.core.token import MAX_LIFE, SKEW

RETIRE_AFTER = MAX_LIFE + SKEW
"""Microseconds for which a key that was replaced still verifies: the longest life of a token, and skew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key of the environment. Times in microseconds; `retires_at` None while it has no successor."""

    kid: str
    public: Mapping[str, Json]
    created_at: int
    signs_at: int
    retires_at: int | None
    revoked_at: int | None
    private: ECKey | None
    verifier: ECKey

    def verifies(self, now: int) -> bool:
        """Whether signatures of this key are believed at `now`."""
        return self.revoked_at is None and (self.retires_at is None or now < self.retires_at)

    def state(self, now: int) -> str:
        """Return what the key does at `now`, in one word."""
        if self.revoked_at is not None:
            return "revoked"
        if not self.verifies(now):
            return "retired"
        if self.signs_at > now:
            return "published"
        return "signs" if self.retires_at is None or now < self.retires_at - RETIRE_AFTER else "verifies"

    def signs(self, now: int) -> bool:
        """Whether this key may sign at `now`."""
        return self.private is not None and self.verifies(now) and self.signs_at <= now
