"""What is wrong with a manifest, and where: file, line, column, field, what was expected, a near name.

Positions count from 1, as editors do. Values of the manifest are shown shortened and escaped, because a
manifest may hold text that somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from interlock.errors import ManifestError

_SHOWN = 60
_LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """A point in a file. Line and column count from 1; 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestProblem:
    """One thing that is wrong. `field` is the path inside the document, `document` its kind and name."""

    place: Place
    message: str
    field: str = ""
    document: str = ""
    near: str | None = None

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        near = f" (did you mean {self.near!r}?)" if self.near else ""
        return f"{self.place}: {field}{self.message}{near}"


def invalid(problems: Iterable[ManifestProblem]) -> ManifestError:
    """Return the error that lists all `problems` in the order of their places."""
    ordered = tuple(sorted(problems, key=lambda problem: problem.place))
    lines = [str(problem) for problem in ordered[:_LISTED]]
    if len(ordered) > _LISTED:
        lines.append(f"and {len(ordered) - _LISTED} more")
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return ManifestError(f"{count} in the manifest:\n" + "\n".join(lines), problems=ordered)


def near(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` most resembles, if one is close."""
    candidates = {each.lower(): each for each in known}
    found = get_close_matches(name.lower()[:200], candidates, n=1, cutoff=0.6)
    return candidates[found[0]] if found else None


def shown(value: object) -> str:
    """Return `value` for a message: on one line, escaped, not longer than a screen can hold."""
    text = value if isinstance(value, str) else str(value)
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "'" + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut) + "'"


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as a reader writes it: `spec.tools[1].where`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text
