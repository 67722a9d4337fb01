"""Glob patterns in time linear in the text for each piece: `*` is any text, `?` is any one character.

No regular expressions, so no pattern can be made to run for ever. Both wildcards match `/` and line breaks.
"""

from __future__ import annotations

from collections.abc import Callable


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """Compile `pattern` to a predicate over whole texts."""
    head, *rest = pattern.split("*")
    if not rest:
        return lambda text: len(text) == len(head) and _fits(head, text, 0)
    *middle, tail = rest
    least = len(head) + len(tail)

    def matches(text: str) -> bool:
        end = len(text) - len(tail)
        if len(text) < least or not _fits(head, text, 0) or not _fits(tail, text, end):
            return False
        at = len(head)
        for piece in middle:  # leftmost is always best: it leaves the most room for what follows
            found = _find(piece, text, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches


def _fits(piece: str, text: str, at: int) -> bool:
    if "?" not in piece:
        return text.startswith(piece, at)
    return all(mine in ("?", text[at + offset]) for offset, mine in enumerate(piece))


def _find(piece: str, text: str, start: int, end: int) -> int:
    if "?" not in piece:
        return text.find(piece, start, end)
    for at in range(start, end - len(piece) + 1):
        if _fits(piece, text, at):
            return at
    return -1
