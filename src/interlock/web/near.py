"""What to say to somebody who named what there is not: the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

from interlock.core.policy.flaw import near


def meant(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a question after the known name that is nearest, or `otherwise`."""
    found = near(name[:200], known)
    return f"Did you mean {found}?" if found else otherwise
