"""Tools that the provider runs itself: what a request names, and how often they can run (B1, B8).

Whatever is not known to be the caller's own is taken to be the provider's, under its own name: it can cost
something, and nobody here knows what.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

USES = 10
"""How often a tool of the provider is taken to run in one call where the request sets no limit."""

_MOST_USES = 10_000

_OWN = ("function", "custom", "computer", "local_shell", "apply_patch", "bash", "text_editor", "memory")
_NAMES = {
    "web_search": "web_search",
    "web_fetch": "web_fetch",
    "file_search": "file_search",
    "code_interpreter": "code_execution",
    "code_execution": "code_execution",
    "image_generation": "image_generation",
    "tool_search": "tool_search",
    "mcp": "mcp",
}
_VERSION = re.compile(r"(_preview)?(_\d{4}_?\d{2}_?\d{2})?$")
_MEMBERS = {
    "web_search_options": ("web_search", 1),
    "search_parameters": ("live_search", USES),
    "plugins": ("plugins", USES),
    "mcp_servers": ("mcp", USES),
    "compaction": ("compaction", 1),
    "context_management": ("compaction", 1),
}
"""Members of a body that make the provider run a tool, with its name and the most runs."""

_NOTHING = frozenset({b"null", b"[]"})
_LONGEST = 64


class ServerTool(msgspec.Struct, gc=False):
    """As much of a declared tool as says whether the provider runs it, and how often."""

    type: str = ""
    max_uses: int | None = None


tools_of: Callable[[bytes | Raw], list[ServerTool] | None] = msgspec.json.Decoder(
    list[ServerTool] | None
).decode


def server_tools(tools: list[ServerTool], members: Mapping[str, Raw]) -> dict[str, int]:
    """Return the most calls of each tool of the provider that a request allows."""
    found: dict[str, int] = {}
    for tool in tools:
        name = _name(tool.type)
        if name:
            found[name] = found.get(name, 0) + (
                USES if tool.max_uses is None else min(max(tool.max_uses, 0), _MOST_USES)
            )
    for member in _MEMBERS.keys() & members.keys():
        if _asks(member, bytes(members[member])):
            name, uses = _MEMBERS[member]
            found[name] = max(found.get(name, 0), uses)
    return found


def _asks(member: str, said: bytes) -> bool:
    """Whether a member asks for its tool; contexts are managed without a model, too."""
    return said not in _NOTHING and (member != "context_management" or b"compact" in said)


def _name(kind: str) -> str:
    """Return the provider's tool of that type, "" for one that the caller runs."""
    if not kind or kind.startswith(_OWN):
        return ""
    for start, name in _NAMES.items():
        if kind.startswith(start):
            return name
    return _VERSION.sub("", kind)[:_LONGEST]
