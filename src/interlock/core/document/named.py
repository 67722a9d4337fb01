"""What every declared document has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What every document has: a name and, if it is meant for one only, an environment."""

    name: str
    environment: str | None = None
