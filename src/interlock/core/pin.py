"""Which items of a history a caller pins, so that no trimming takes anything from them (B4).

They are named beside the body, in a header, because strict providers refuse members they do not know. Doubt
pins: of a list that cannot be read every item is pinned.
"""

from __future__ import annotations

import re

LONGEST = 200
"""Characters of a list; a longer one may have been cut off on its way, and is not read."""

_FURTHEST = 100_000
_LISTED = re.compile(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?")


def pinned(listed: str) -> frozenset[int] | None:
    """Return the indices that a list such as `0, 4-6` names, counted from 0; None: everything."""
    if not listed.strip():
        return frozenset()
    found = [_LISTED.fullmatch(each) for each in listed.split(",")] if len(listed) < LONGEST else [None]
    indices: set[int] = set()
    for each in found:
        if each is None:
            return None
        first, last = int(each[1]), int(each[2] or each[1])
        if last < first or last >= _FURTHEST:
            return None
        indices.update(range(first, last + 1))
    return frozenset(indices)
