"""The names an agent sees. On the wire a tool keeps its bare name where that is unique in its workflow.

Else it is `server__tool`. The mapping depends on the workflow alone, never on who asks or what is
connected, so that a name means one thing for the whole life of a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

RESUME = "interlock_resume"
RESULT = "interlock_result"
_OURS = frozenset({RESUME, RESULT})
_LONGEST = 128
_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")


@dataclass(frozen=True, slots=True)
class WireNames:
    """Both ways between a workflow's dotted names and the names on the wire."""

    dotted: dict[str, str] = field(default_factory=dict[str, str])
    wire: dict[str, str] = field(default_factory=dict[str, str])


def split(tool: str) -> tuple[str, str]:
    """Return server and bare name of a dotted tool name."""
    server, _, bare = tool.partition(".")
    return server, bare


def wire_names(tools: Iterable[str]) -> WireNames:
    """Give every tool of one workflow its name on the wire; no two share one."""
    ordered = sorted(set(tools))
    bare = Counter(split(tool)[1] for tool in ordered)
    names = WireNames()
    for tool in sorted(ordered, key=lambda each: bare[split(each)[1]] > 1):
        name = _free(tool, alone=bare[split(tool)[1]] == 1, taken=names.dotted)
        names.dotted[name] = tool
        names.wire[tool] = name
    return names


def _free(tool: str, *, alone: bool, taken: dict[str, str]) -> str:
    server, name = split(tool)
    if alone and name not in taken and name not in _OURS:
        return name
    prefixed = _allowed(f"{server}__{name}")[:_LONGEST]
    candidate, number = prefixed, 2
    while candidate in taken or candidate in _OURS:
        candidate = f"{prefixed[: _LONGEST - 4]}_{number}"
        number += 1
    return candidate


def _allowed(name: str) -> str:
    return "".join(each if each in _ALLOWED else "_" for each in name)
