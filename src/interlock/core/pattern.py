"""A text that a regular expression of a tool's input schema matches, made without an engine (A4).

Each part stands as seldom as it may, the first of several alternatives is taken, and a part that may be
repeated is, until the text is as long as it has to be. What is not understood gives some text; the schema
check has the last word.
"""

from __future__ import annotations

LONGEST = 1000
_DEPTH = 20
_CLASSES = {
    "d": "0",
    "w": "x",
    "s": " ",
    "S": "x",
    "D": "x",
    "W": "-",
    "b": "",
    "B": "",
    "n": "\n",
    "t": "\t",
}


def matching(pattern: str, least: int = 0) -> str:
    """Return a text of at least `least` characters that `pattern` matches, where that can be made."""
    short = _Maker(0).text(pattern)
    return short if len(short) >= least else _Maker(least - len(short)).text(pattern)


class _Maker:
    """Makes one text. `spare` is how many characters the parts that may be repeated still have to add."""

    def __init__(self, spare: int) -> None:
        self._spare = spare
        self._depth = 0

    def text(self, pattern: str) -> str:
        """Return a text that the first alternative of `pattern` matches; of groups too deep, nothing."""
        if self._depth > _DEPTH:
            return ""
        self._depth += 1
        text, made, at = list(_first_choice(pattern[:LONGEST])), "", 0
        while at < len(text) and len(made) < LONGEST:
            part, at = self._part(text, at)
            least, most, at = _times(text, at)
            more = max(min(-(-self._spare // max(len(part), 1)), most - least), 0) if part else 0
            self._spare -= more * len(part)
            made += part * (least + more)
        self._depth -= 1
        return made[:LONGEST]

    def _part(self, text: list[str], at: int) -> tuple[str, int]:
        """Return one text that the part of a pattern at `at` matches, and where the next part begins."""
        match text[at]:
            case "^" | "$":
                return "", at + 1
            case "\\":
                return _escaped(text, at)
            case "[":
                return _of_class(text, at + 1)
            case "(":
                end = _closing(text, at)
                return self.text(_inner("".join(text[at + 1 : end]))), end + 1
            case ".":
                return "x", at + 1
            case plain:
                return plain, at + 1


def _escaped(text: list[str], at: int) -> tuple[str, int]:
    known = text[at + 1] if at + 1 < len(text) else ""
    if known in ("p", "P") and "}" in text[at:]:  # a class of Unicode: \p{L}
        return "x", text.index("}", at) + 1
    return _CLASSES.get(known, known), at + 2


def _inner(group: str) -> str:
    """Return the pattern within a group; one that only looks ahead or behind, or sets flags, has none."""
    if not group.startswith("?"):
        return group
    if group[1:2] in ("=", "!") or group[1:3] in ("<=", "<!"):
        return ""
    return group.partition(">" if "<" in group[1:3] else ":")[2]


def _of_class(text: list[str], at: int) -> tuple[str, int]:
    end = at if text[at : at + 1] == ["\\"] else at + 1
    while end < len(text) and text[end] != "]":
        end += 2 if text[end] == "\\" else 1
    first = text[at] if at < len(text) else ""
    if first == "^":
        others = set(text[at + 1 : end])
        return next((each for each in "x0-_ A" if each not in others), ""), end + 1
    if first == "\\":
        return _escaped(text, at)[0], end + 1
    return first, end + 1


def _closing(text: list[str], at: int) -> int:
    depth = 0
    for index in range(at, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index
    return len(text)


def _first_choice(inner: str) -> str:
    depth = 0
    for index, each in enumerate(inner):
        depth += (each == "(") - (each == ")")
        if each == "|" and depth == 0:
            return inner[:index]
    return inner


def _times(text: list[str], at: int) -> tuple[int, int, int]:
    """Return how often the part before `at` must and may stand, and where the next part begins."""
    least, most, after = 1, 1, at
    if at < len(text) and text[at] in "*+?":
        least, most, after = int(text[at] == "+"), 1 if text[at] == "?" else LONGEST, at + 1
    elif at < len(text) and text[at] == "{" and "}" in text[at:]:
        after = text.index("}", at) + 1
        low, comma, high = "".join(text[at + 1 : after - 1]).partition(",")
        least = _count(low, 1)
        most = _count(high, LONGEST) if comma else least
    if after > at and after < len(text) and text[after] == "?":
        after += 1
    return least, most, after


def _count(digits: str, otherwise: int) -> int:
    return (
        min(int(digits), LONGEST) if digits.isascii() and digits.isdigit() and len(digits) < 6 else otherwise
    )
