"""What is wrong with a declared rule: gathered at load, all of it, each with its place and a near name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One thing that cannot be understood, and the path to it inside its document."""

    path: Path
    message: str
    near: str | None = None


@dataclass(frozen=True, slots=True)
class Flaws:
    """The flaws found so far below one path; `at` gives a collector further down that shares the list."""

    path: Path = ()
    found: list[Flaw] = field(default_factory=list[Flaw])

    def at(self, *steps: str | int) -> Flaws:
        """Return a collector for a deeper place."""
        return Flaws((*self.path, *steps), self.found)

    def add(self, message: str, *, near: str | None = None) -> None:
        """Note a flaw here."""
        self.found.append(Flaw(path=self.path, message=message, near=near))


def near(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, or None."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
