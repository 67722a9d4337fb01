"""Whether a URI is what a URI template (RFC 6570) can expand to, in time linear in the URI for each part.

Templates come from tool servers, URIs from agents, so no pair of them may be made to run for long: no regular
expression, but the set of places that the parts so far can have reached. A simple variable spans no slash.
"""

from __future__ import annotations

import re

_LONGEST = 2_000
_PARTS = 64
_EXPRESSION = re.compile(r"(\{[^{}]*\})")


def fits(uri: str, template: str) -> bool:
    """Whether `uri` is an expansion of `template`. What is too long, or has too many parts, is none."""
    parts = [part for part in _EXPRESSION.split(template) if part]
    if len(uri) > _LONGEST or len(template) > _LONGEST or len(parts) > _PARTS:
        return False
    places = {0}
    for part in parts:
        places = _after(uri, part, places)
        if not places:
            return False
    return len(uri) in places


def _after(uri: str, part: str, places: set[int]) -> set[int]:
    """Return where `part` can end, if it begins at one of `places`."""
    if not part.startswith("{"):
        return {at + len(part) for at in places if uri.startswith(part, at)}
    if part.startswith(("{+", "{#", "{/")):
        return set(range(min(places) + 1, len(uri) + 1))
    if part.startswith(("{?", "{&")):
        marked = [at for at in places if uri[at : at + 1] in ("?", "&")]
        return places | (set(range(min(marked) + 1, len(uri) + 1)) if marked else set())
    return _within_a_segment(uri, places)


def _within_a_segment(uri: str, places: set[int]) -> set[int]:
    ends: set[int] = set()
    done = 0
    for at in sorted(places):
        slash = uri.find("/", at)
        end = len(uri) if slash < 0 else slash
        ends.update(range(max(at + 1, done), end + 1))
        done = max(done, end + 1)
    return ends
