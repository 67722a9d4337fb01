"""How a plan, an apply or a change is shown: each difference in words, what acts and what waits for whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interlock.cli.output import safe

_MARKS = {
    "widens": "[yellow]+ widens[/yellow]",
    "narrows": "[green]- narrows[/green]",
    "neither": "~ neither",
}
_ORDER = ("widens", "narrows", "neither")


def lines(differences: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one line for each difference, what widens first."""
    ordered = sorted(differences, key=lambda each: _ORDER.index(each["direction"]))
    return [
        f"  {_MARKS[each['direction']]}  {safe(' '.join(each['document']))}: {safe(each['words'], cap=300)}"
        for each in ordered
    ]


def waiting(names: Iterable[str]) -> str:
    """Return who may decide, in words."""
    listed = ", ".join(safe(each) for each in names)
    if not listed:
        return "nobody who is in force may decide it: give another person the role policy_author first"
    return f"one of {listed}"


def notes(said: Iterable[str]) -> list[str]:
    """Return the notes, one line each."""
    return [f"  note: {safe(each)}" for each in said]
